import type { UserRole } from "../../api/types";
import { Field } from "../../components/Form";
import { useI18n } from "../../i18n";

const ROLES: UserRole[] = ["reader", "editor", "admin", "auditor"];

type Props = {
  role: UserRole;
  onRole: (role: UserRole) => void;
  /** Why it cannot be changed. */
  fixed?: string | undefined;
};

/** What someone may do. */
export function RoleField({ role, onRole, fixed }: Props) {
  const { t } = useI18n();
  return (
    <Field label={t.account.role} hint={fixed ?? t.account.duties[role]}>
      {(ties) => (
        <select
          {...ties}
          className="select"
          value={role}
          disabled={fixed !== undefined}
          onChange={(event) => onRole(event.target.value as UserRole)}
        >
          {ROLES.map((one) => (
            <option key={one} value={one}>
              {t.account.roles[one]}
            </option>
          ))}
        </select>
      )}
    </Field>
  );
}
