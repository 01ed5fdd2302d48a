import type { UserRole } from "../../api/types";
import { SelectField } from "../../components/Form";
import { useI18n } from "../../i18n";

const ROLES: UserRole[] = ["reader", "editor", "admin", "auditor"];

type Props = {
  role: UserRole;
  onChange: (role: UserRole) => void;
  /** Why it cannot be changed. */
  fixed?: string | undefined;
};

/** What someone may do. */
export function RoleField({ role, onChange, fixed }: Props) {
  const { t } = useI18n();
  return (
    <SelectField
      label={t.account.role}
      hint={fixed ?? t.account.duties[role]}
      options={ROLES.map((value) => ({ value, label: t.account.roles[value] }))}
      value={role}
      onChange={onChange}
      disabled={fixed !== undefined}
    />
  );
}
