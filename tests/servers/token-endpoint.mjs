// node token-endpoint.mjs PKI ISSUER SECRET: the certified oidc-provider in the shape of Entra's token endpoint, for client_credentials with a client secret.
// Prints the address of the endpoint when it is ready. Every GUID is a client; the token that it gets is for the mailbox <GUID>@example.test.
import fs from 'node:fs';
import https from 'node:https';
import { createPrivateKey } from 'node:crypto';
import { Provider, errors } from 'oidc-provider';

const [pki, issuer, secret] = process.argv.slice(2);
const read = (name) => fs.readFileSync(`${pki}/${name}`);
const tenant = new URL(issuer).pathname.split('/')[1];
// The vendor's manual writes the first, Microsoft's page the second; Entra takes both.
const resources = ['https://outlook.office.com', 'https://outlook.office365.com'];
const scopes = resources.map((resource) => `${resource}/.default`);

const isGuid = (text) => /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text);

// Where oidc-provider looks its clients up. Nothing is kept: a signed token needs no memory.
class EveryGuidIsAClient {
  constructor(model) { this.model = model; }

  async find(id) {
    if (this.model !== 'Client' || !isGuid(id)) return undefined;
    return {
      client_id: id, client_secret: secret, token_endpoint_auth_method: 'client_secret_post',
      grant_types: ['client_credentials'], redirect_uris: [], response_types: [], scope: scopes.join(' '),
    };
  }

  async upsert() {}
  async consume() {}
  async destroy() {}
  async revokeByGrantId() {}
  async findByUid() {}
  async findByUserCode() {}
}

const provider = new Provider(issuer, {
  adapter: EveryGuidIsAClient,
  jwks: { keys: [{ ...createPrivateKey(read('token.key')).export({ format: 'jwk' }), kid: 'k1', alg: 'RS256', use: 'sig' }] },
  cookies: { keys: ['unused'] },
  scopes,
  clientAuthMethods: ['client_secret_post'],
  routes: { token: `/${tenant}/oauth2/v2.0/token` },
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource(ctx) {
        const index = scopes.indexOf(ctx.oidc.params.scope);
        if (index < 0) throw new errors.InvalidScope('the scope is not one of Exchange Online', ctx.oidc.params.scope);
        return resources[index];
      },
      useGrantedResource: () => true,
      getResourceServerInfo: (ctx, resource) => ({
        scope: `${resource}/.default`, audience: resource, accessTokenFormat: 'jwt', accessTokenTTL: 3599, jwt: { sign: { alg: 'RS256' } },
      }),
    },
  },
  formats: {
    customizers: {
      jwt(ctx, token, jwt) {
        jwt.header = { typ: 'JWT' }; // Dovecot takes no other, and Entra writes this one.
        const upn = `${token.clientId.toLowerCase()}@example.test`;
        Object.assign(jwt.payload, { roles: ['IMAP.AccessAsApp'], scope: 'IMAP.AccessAsApp', upn, tid: tenant });
      },
    },
  },
});

const server = https.createServer({ key: read('server.key'), cert: read('server.pem') }, provider.callback());
server.listen(0, '127.0.0.1', () => console.log(`https://localhost:${server.address().port}/${tenant}/oauth2/v2.0/token`));
