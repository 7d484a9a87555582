// server.js PLAIN TLS PKI USER PASSWORD TOKEN PLUGIN…: hoodiecrow on two ports that show the same mailbox.
const fs = require('fs');
const path = require('path');
const hoodiecrow = require('hoodiecrow-imap');

const [plain, tls, pki, user, password, token, ...plugins] = process.argv.slice(2);
const credentials = { cert: fs.readFileSync(path.join(pki, 'server.pem')), key: fs.readFileSync(path.join(pki, 'server.key')) };

function server(secureConnection) {
  const users = { [user]: { password, xoauth2: { accessToken: token } } };
  const storage = { INBOX: {}, '': { separator: '/', folders: {} } };
  return hoodiecrow({ plugins, secureConnection, credentials, users, storage });
}

const clear = server(false);
const secure = server(true);
secure.storage = clear.storage;
secure.folderCache = clear.folderCache;
clear.listen(+plain, '127.0.0.1');
secure.listen(+tls, '127.0.0.1');
