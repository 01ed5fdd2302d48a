/** What a browser calls itself, as a person would: “Firefox, Windows”. Empty where nothing is known. */
export function describeBrowser(agent: string): string {
  const browser = firstOf(agent, [
    // Others also say that they are Chrome, and Chrome that it is Safari.
    [/\bEdg(?:e|A|iOS)?\//, "Edge"],
    [/\bOPR\//, "Opera"],
    [/\bSamsungBrowser\//, "Samsung Internet"],
    [/\b(?:Firefox|FxiOS)\//, "Firefox"],
    [/\b(?:HeadlessChrome|Chrome|CriOS)\//, "Chrome"],
    [/\bVersion\/.*\bSafari\//, "Safari"],
    [/^curl\//, "curl"],
  ]);
  const system = firstOf(agent, [
    [/\b(?:iPhone|iPod)\b/, "iPhone"],
    [/\biPad\b/, "iPad"],
    [/\bAndroid\b/, "Android"],
    [/\bWindows\b/, "Windows"],
    [/\bCrOS\b/, "ChromeOS"],
    [/\bMac OS X\b/, "macOS"],
    [/\bLinux\b/, "Linux"],
  ]);
  if (browser === null) return agent.trim().slice(0, 80);
  return system === null ? browser : `${browser}, ${system}`;
}

function firstOf(text: string, names: [RegExp, string][]): string | null {
  return names.find(([pattern]) => pattern.test(text))?.[1] ?? null;
}
