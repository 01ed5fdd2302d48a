import { type DragEvent, useRef, useState } from "react";
import { Icon } from "../../components/Icon";
import { useI18n } from "../../i18n";
import styles from "./DropZone.module.css";

type Props = { onFiles: (files: File[]) => void; disabled: boolean };

/** Takes files by dropping or by choosing. */
export function DropZone({ onFiles, disabled }: Props) {
  const { t } = useI18n();
  const picker = useRef<HTMLInputElement>(null);
  // Entering a child also leaves the parent: only the balance tells whether the files are above.
  const depth = useRef(0);
  const [over, setOver] = useState(false);
  const move = (event: DragEvent, by: number) => {
    event.preventDefault();
    depth.current += by;
    setOver(depth.current > 0);
  };
  const take = (list: FileList | null) => {
    const files = [...(list ?? [])];
    if (files.length > 0 && !disabled) onFiles(files);
  };
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: dropping is an extra; the button does the same
    <div
      className={styles.zone}
      data-over={over}
      onDragEnter={(event) => move(event, 1)}
      onDragLeave={(event) => move(event, -1)}
      onDragOver={(event) => event.preventDefault()}
      onDrop={(event) => {
        event.preventDefault();
        depth.current = 0;
        setOver(false);
        take(event.dataTransfer.files);
      }}
    >
      <Icon name="upload" />
      <p className={styles.words}>
        {over ? (
          t.documents.dropActive
        ) : (
          <>
            {t.documents.drop} <span className={styles.or}>{t.documents.or}</span>{" "}
            <button
              type="button"
              className={styles.choose}
              disabled={disabled}
              onClick={() => picker.current?.click()}
            >
              {t.documents.choose}
            </button>
          </>
        )}
      </p>
      <p className={styles.formats}>{t.documents.formats}</p>
      <input
        ref={picker}
        type="file"
        multiple
        hidden
        aria-label={t.documents.choose}
        onChange={(event) => {
          take(event.target.files);
          // Choosing the same file again must count as a change.
          event.target.value = "";
        }}
      />
    </div>
  );
}
