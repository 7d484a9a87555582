package um.imap.oauth2;

import java.security.GeneralSecurityException;
import java.security.KeyStore;
import java.security.cert.X509Certificate;
import java.util.ArrayList;
import java.util.List;
import javax.net.ssl.TrustManager;
import javax.net.ssl.TrustManagerFactory;
import javax.net.ssl.X509TrustManager;

/** Whom the JVM trusts: its own trust store, or the one that {@code javax.net.ssl.trustStore} names. */
final class JvmTrust {
    private JvmTrust() {
    }

    /** The certificates (DER) of the issuers that the JVM's default trust manager accepts. */
    static byte[][] issuers() throws GeneralSecurityException {
        List<byte[]> issuers = new ArrayList<>();
        TrustManagerFactory factory = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        factory.init((KeyStore) null);
        for (TrustManager manager : factory.getTrustManagers()) {
            if (manager instanceof X509TrustManager) {
                X509Certificate[] accepted = ((X509TrustManager) manager).getAcceptedIssuers();
                // Null is forbidden, and not unusual.
                for (X509Certificate issuer : accepted == null ? new X509Certificate[0] : accepted) {
                    issuers.add(issuer.getEncoded());
                }
            }
        }
        return issuers.toArray(new byte[0][]);
    }
}
