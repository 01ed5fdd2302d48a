import { NavLink } from "react-router";
import { useI18n } from "../../i18n";
import styles from "./PeopleTabs.module.css";
import { paths } from "./paths";

/** The ways between people, services and groups. */
export function PeopleTabs() {
  const { t } = useI18n();
  return (
    <nav className={styles.tabs} aria-label={t.people.tabs}>
      <NavLink to={paths.people} end>
        {t.people.people}
      </NavLink>
      <NavLink to={paths.services}>{t.people.services}</NavLink>
      <NavLink to={paths.groups}>{t.people.groups}</NavLink>
    </nav>
  );
}
