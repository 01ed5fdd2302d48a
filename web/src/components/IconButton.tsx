import type { ComponentProps } from "react";
import { Icon, type IconName } from "./Icon";

type Props = Omit<ComponentProps<"button">, "children" | "className" | "type"> & {
  icon: IconName;
  label: string;
};

/** A button that is a picture, with its name for who does not see it and for the mouse that rests on it. */
export function IconButton({ icon, label, ...button }: Props) {
  return (
    <button {...button} type="button" className="icon-button" aria-label={label} title={label}>
      <Icon name={icon} />
    </button>
  );
}
