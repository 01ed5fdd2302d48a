import { useEffect, useState } from "react";
import { useI18n } from "../i18n";
import { IconButton } from "./IconButton";

type Props = { text: string; label: string };

/** Puts a text into the clipboard and says so; nothing where the browser has none. */
export function CopyButton({ text, label }: Props) {
  const { t } = useI18n();
  const [copied, setCopied] = useState(0);
  useEffect(() => {
    if (copied === 0) return;
    const timer = setTimeout(() => setCopied(0), 2000);
    return () => clearTimeout(timer);
  }, [copied]);
  if (!canCopy()) return null;
  const copy = () =>
    navigator.clipboard.writeText(text).then(
      () => setCopied((n) => n + 1),
      // The browser does not let it: the text is there to be selected.
      () => setCopied(0),
    );
  return (
    <IconButton
      icon={copied > 0 ? "check" : "copy"}
      label={copied > 0 ? t.copied : label}
      onClick={copy}
    />
  );
}

/** Browsers have a clipboard only on a secure origin, such as this machine's own. */
function canCopy(): boolean {
  return "clipboard" in navigator && navigator.clipboard !== undefined;
}
