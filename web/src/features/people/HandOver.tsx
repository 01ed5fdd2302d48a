import { useI18n } from "../../i18n";
import { ShownOnce } from "../access/ShownOnce";

type Props = { title: string; name: string; password: string; onDone: () => void };

/** What someone needs to sign in for the first time, shown to who has set it. */
export function HandOver({ title, name, password, onDone }: Props) {
  const { t } = useI18n();
  return (
    <ShownOnce
      title={title}
      lead={t.people.handOver}
      items={[
        { label: t.gate.name, text: name, copy: t.people.copyName },
        { label: t.gate.password, text: password, copy: t.people.copyPassword },
      ]}
      onDone={onDone}
    />
  );
}
