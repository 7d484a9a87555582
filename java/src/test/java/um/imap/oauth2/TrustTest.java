package um.imap.oauth2;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.security.Provider;
import java.security.Security;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.util.Map;
import java.util.UUID;
import javax.net.ssl.ManagerFactoryParameters;
import javax.net.ssl.TrustManager;
import javax.net.ssl.TrustManagerFactorySpi;
import javax.net.ssl.X509TrustManager;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Whom a JVM trusts is trusted here: child JVMs with trust stores of their own, against the real servers. */
class TrustTest {
    /** What {@link #main} was told last. */
    private static Health.State state = Health.State.WELL;

    @TempDir
    private Path directory;

    @Test
    void anAuthorityInTheJvmsTrustStoreIsTrusted() throws Exception {
        assertEquals("0 mails", read("ca.pem"));
    }

    @Test
    void anEmptyTrustStoreIsNamed() throws Exception {
        String failure = read(null);
        assertTrue(failure.startsWith("CONFIGURATION configuration: no certificate authority is trusted"), failure);
        assertTrue(failure.contains("javax.net.ssl.trustStore") && failure.contains("cmsbs.mail.imap.ssl.caFile"), failure);
    }

    @Test
    void aTrustStoreThatCannotBeReadIsNamed() throws Exception {
        String failure = read("ca.pem", "another password");
        assertTrue(failure.startsWith("CONFIGURATION configuration: the trust store of the JVM cannot be read"), failure);
        assertTrue(failure.contains("javax.net.ssl.trustStore") && failure.contains("password was incorrect"), failure);
        assertTrue(failure.endsWith("FAILING"), failure);
    }

    @Test
    void aPinnedServerCertificateIsNoAuthorityAndTheIssuerIsNamed() throws Exception {
        String failure = read("server.pem");
        assertTrue(failure.startsWith("TLS tls: "), failure);
        assertTrue(failure.contains("CN=test CA") && failure.contains("cmsbs.mail.imap.ssl.caFile"), failure);
    }

    @Test
    void aTrustManagerThatNamesNobodyTrustsNobody() throws Exception {
        String failure = read("ca.pem", "changeit", Nobody.class.getName());
        assertTrue(failure.startsWith("CONFIGURATION configuration: no certificate authority is trusted"), failure);
    }

    @Test
    void aTrustManagerThatFailsIsNamed() throws Exception {
        String failure = read("ca.pem", "changeit", Failing.class.getName());
        assertTrue(failure.startsWith("CONFIGURATION configuration: the trust store of the JVM cannot be read"), failure);
        assertTrue(failure.contains("UnsupportedOperationException: who asks?") && failure.endsWith("FAILING"), failure);
    }

    /** What {@link #main} says in a JVM whose trust store holds the first certificate of a file of the test servers'. */
    private String read(String trusted) throws Exception {
        return read(trusted, "changeit");
    }

    private String read(String trusted, String password, String... factory) throws Exception {
        KeyStore store = KeyStore.getInstance("PKCS12");
        store.load(null, null);
        if (trusted != null) {
            store.setCertificateEntry("trusted", certificate(trusted));
        }
        Path file = directory.resolve("trust.p12");
        try (OutputStream out = Files.newOutputStream(file)) {
            store.store(out, "changeit".toCharArray());
        }
        ChildJvm.Output output = new ChildJvm(directory).with("-Xcheck:jni", "-Djavax.net.ssl.trustStore=" + file,
                "-Djavax.net.ssl.trustStorePassword=" + password).run(TrustTest.class.getName(), factory);
        assertEquals("", output.err);
        // Opening a mailbox asks nobody whom to trust.
        assertTrue(output.out.startsWith("open\n"), output.out);
        return output.out.substring("open\n".length()).trim();
    }

    /**
     * Reads an empty mailbox of the test servers, without a word about trust in the settings. Arguments: the class of the default
     * factory of trust managers, if it is not the JVM's.
     */
    public static void main(String[] arguments) {
        for (String factory : arguments) {
            Security.addProvider(new Provider("odd", "1", "odd trust managers") {
                private static final long serialVersionUID = 1L;

                {
                    put("TrustManagerFactory.odd", factory);
                }
            });
            Security.setProperty("ssl.TrustManagerFactory.algorithm", "odd");
        }
        Map<String, String> settings = ExampleSettings.oauth2();
        String client = UUID.randomUUID().toString();
        settings.put("cmsbs.lang", "en");
        settings.put("cmsbs.mail.imap.port", System.getenv("UM_TEST_IMAP_PORT"));
        settings.put("cmsbs.mail.imap.user", client + "@example.test");
        settings.put("cmsbs.mail.imap.oauth2.accessTokenUri", System.getenv("UM_TEST_TOKEN_URI"));
        settings.put("cmsbs.mail.imap.oauth2.clientId", client);
        settings.put("cmsbs.mail.imap.oauth2.clientSecret", System.getenv("UM_TEST_SECRET"));
        int mails = 0;
        try (BounceMailbox mailbox = BounceMailbox.builder().settings(settings).onHealth(TrustTest::keep).open()) {
            System.out.println("open");
            for (BounceMessage mail : mailbox.fetch()) {
                mails += mail.size() > 0 ? 1 : 0;
            }
            System.out.println(mails + " mails");
        } catch (MailboxException e) {
            System.out.println(e.kind() + " " + e.getMessage() + " " + state);
        }
    }

    /** Makes trust managers whose accepted issuers are null. */
    public static class Nobody extends TrustManagerFactorySpi implements X509TrustManager {
        @Override
        protected void engineInit(KeyStore store) {
        }

        @Override
        protected void engineInit(ManagerFactoryParameters parameters) {
        }

        @Override
        protected TrustManager[] engineGetTrustManagers() {
            return new TrustManager[] {this};
        }

        @Override
        public void checkClientTrusted(X509Certificate[] chain, String type) {
        }

        @Override
        public void checkServerTrusted(X509Certificate[] chain, String type) {
        }

        @Override
        public X509Certificate[] getAcceptedIssuers() {
            return null;
        }
    }

    /** Makes trust managers that cannot be asked. */
    public static final class Failing extends Nobody {
        @Override
        public X509Certificate[] getAcceptedIssuers() {
            throw new UnsupportedOperationException("who asks?");
        }
    }

    private static void keep(Health health) {
        state = health.state();
    }

    private static Certificate certificate(String name) throws Exception {
        try (InputStream in = Files.newInputStream(Path.of(System.getenv("UM_TEST_DIR"), "pki", name))) {
            return CertificateFactory.getInstance("X.509").generateCertificate(in);
        } catch (IOException e) {
            throw new IOException("Run `make test`, or tests/servers/with-servers mvn …", e);
        }
    }
}
