// node token-endpoint.mjs PKI ISSUER SECRET: the certified oidc-provider in the shape of Entra's token endpoint, for client_credentials with a client
// secret or with PKI/client.pem. Prints the address of the endpoint when it is ready. Every GUID is a client; the token that it gets is for the mailbox
// <GUID>@example.test.
import fs from 'node:fs';
import https from 'node:https';
import { X509Certificate, createHash, createPrivateKey } from 'node:crypto';
import { Provider, errors } from 'oidc-provider';

const [pki, issuer, secret] = process.argv.slice(2);
const read = (name) => fs.readFileSync(`${pki}/${name}`);
const tenant = new URL(issuer).pathname.split('/')[1];
// The vendor's manual writes the first, Microsoft's page the second; Entra takes both.
const resources = ['https://outlook.office.com', 'https://outlook.office365.com'];
const scopes = resources.map((resource) => `${resource}/.default`);

const isGuid = (text) => /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text);

const certificate = new X509Certificate(read('client.pem'));
const thumbprint = createHash('sha256').update(certificate.raw).digest('base64url');

// oidc-provider knows one way for a client to authenticate; Entra takes whatever comes.
const authentication = () => (Provider.ctx?.oidc?.params?.client_assertion
  ? {
    token_endpoint_auth_method: 'private_key_jwt', token_endpoint_auth_signing_alg: 'PS256',
    jwks: { keys: [{ ...certificate.publicKey.export({ format: 'jwk' }), use: 'sig' }] },
  }
  : { token_endpoint_auth_method: 'client_secret_post', client_secret: secret });

const assertionsSeen = new Map();

// Where oidc-provider looks its clients up. Of all else only the assertions are kept, each of which counts once: a signed token needs no memory.
class EveryGuidIsAClient {
  constructor(model) { this.model = model; }

  async find(id) {
    if (this.model === 'ReplayDetection') return assertionsSeen.get(id);
    if (this.model !== 'Client' || !isGuid(id)) return undefined;
    return {
      client_id: id, ...authentication(),
      grant_types: ['client_credentials'], redirect_uris: [], response_types: [], scope: scopes.join(' '),
    };
  }

  async upsert(id, payload) {
    if (this.model === 'ReplayDetection') assertionsSeen.set(id, payload);
  }

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
  clientAuthMethods: ['client_secret_post', 'private_key_jwt'],
  // Entra finds the key by it, so an assertion without it is refused there too.
  assertJwtClientAuthClaimsAndHeader(ctx, claims, header) {
    if (header['x5t#S256'] !== thumbprint) throw new errors.InvalidClientAuth('the certificate is not registered');
  },
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
