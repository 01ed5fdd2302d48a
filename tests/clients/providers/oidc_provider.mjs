/**
 * The npm package `oidc-provider`, set up as a company would: people with groups, kura as a client, back-channel logout.
 * Settings come as JSON in the first argument. `clockOffset` puts its clock off by so many seconds.
 */
const settings = JSON.parse(process.argv[2]);
const now = Date.now.bind(Date);
Date.now = () => now() + settings.clockOffset * 1000;

const { default: Provider } = await import("oidc-provider");

const provider = new Provider(settings.issuer, {
  clients: [
    {
      client_id: settings.client,
      client_secret: settings.secret,
      redirect_uris: [settings.callback],
      post_logout_redirect_uris: [settings.home],
      backchannel_logout_uri: settings.logout,
      backchannel_logout_session_required: true,
      response_types: ["code"],
      grant_types: ["authorization_code"],
    },
  ],
  jwks: { keys: [settings.key] },
  cookies: { keys: ["a key for the cookies of tests"] },
  pkce: { required: () => true },
  // Shorter than its cookies, so that a clock that is behind makes expired tokens and no expired cookies.
  ttl: { IdToken: 120 },
  claims: {
    openid: ["sub"],
    profile: ["name", "preferred_username"],
    email: ["email"],
    groups: ["groups"],
  },
  features: {
    devInteractions: { enabled: true },
    backchannelLogout: { enabled: true },
    rpInitiatedLogout: { enabled: true },
  },
  findAccount: (_context, id) => ({
    accountId: id,
    claims: () => ({ sub: id, ...settings.people[id] }),
  }),
  // The default refuses addresses of this machine.
  fetch: (url, options) => globalThis.fetch(url, { ...options, dispatcher: undefined }),
});

provider.on("backchannel.error", (_context, error) => console.error("back-channel logout:", error));
const { hostname, port } = new URL(settings.issuer);
provider.listen(Number(port), hostname, () => console.log("ready"));
