import { useState } from "react";
import { useI18n } from "../i18n";
import { Icon } from "./Icon";

type Props = { text: string; label: string };

/** Puts a text into the clipboard and says so; nothing where the browser has none. */
export function CopyButton({ text, label }: Props) {
  const { t } = useI18n();
  const [copied, setCopied] = useState(false);
  if (!canCopy()) return null;
  const copy = async () => {
    await navigator.clipboard.writeText(text);
    setCopied(true);
    setTimeout(() => setCopied(false), 2000);
  };
  const name = copied ? t.copied : label;
  return (
    <button
      type="button"
      className="icon-button"
      aria-label={name}
      title={name}
      onClick={() => void copy()}
    >
      <Icon name={copied ? "check" : "copy"} />
    </button>
  );
}

/** Browsers have a clipboard only on a secure origin, such as this machine's own. */
function canCopy(): boolean {
  return "clipboard" in navigator && navigator.clipboard !== undefined;
}
