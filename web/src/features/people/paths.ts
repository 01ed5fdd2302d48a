/** Where the pages of people are. Names of users and groups are no part of other addresses, whatever they are. */
export const paths = {
  people: "/people",
  services: "/people/services",
  groups: "/people/groups",
  user: (name: string) => `/people/users/${encodeURIComponent(name)}`,
  group: (name: string) => `/people/groups/${encodeURIComponent(name)}`,
};
