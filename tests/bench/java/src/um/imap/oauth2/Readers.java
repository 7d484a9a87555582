package um.imap.oauth2;

import com.sun.mail.imap.IMAPFolder;
import com.sun.mail.imap.IMAPMessage;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.KeyStore;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import java.util.Arrays;
import java.util.Properties;
import javax.mail.FetchProfile;
import javax.mail.Flags;
import javax.mail.Folder;
import javax.mail.Message;
import javax.mail.MessagingException;
import javax.mail.Session;
import javax.mail.Store;
import javax.mail.UIDFolder;
import javax.mail.internet.MimeMessage;
import javax.mail.search.FlagTerm;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

/**
 * One client in a process of its own; {@code run.py} starts it.
 *
 * <pre>
 * Readers octets UM_HOME                   the library: the octets of each mail
 * Readers mime UM_HOME                     the same, made a MimeMessage of, and its octets written from that
 * Readers javamail PORT CA USER PASSWORD   JavaMail, with a profile that fetches whole mails, many with one command
 * </pre>
 *
 * <p>Prints a line of JSON as {@code um-bench} does.
 */
final class Readers {
    /** How many mails JavaMail is asked for at once: it holds all of them. */
    private static final int AT_ONCE = Integer.getInteger("at.once", 100);

    private final Count count = new Count();
    private int mails;

    private Readers() {
    }

    public static void main(String[] arguments) throws Exception {
        long begun = System.nanoTime();
        Readers readers = new Readers();
        switch (arguments[0]) {
            case "octets":
                readers.octets(Path.of(arguments[1]));
                break;
            case "mime":
                readers.mime(Path.of(arguments[1]));
                break;
            default:
                readers.javaMail(arguments[1], Path.of(arguments[2]), arguments[3], arguments[4]);
        }
        System.out.printf("{\"mails\": %d, \"octets\": %d, \"seconds\": %s, \"peak_kb\": %d}%n", readers.mails,
                readers.count.octets, (System.nanoTime() - begun) / 1e9, peak());
    }

    private void octets(Path umHome) throws IOException {
        try (BounceMailbox mailbox = BounceMailbox.builder().umHome(umHome).open()) {
            for (BounceMessage mail : mailbox.fetch()) {
                try (InputStream in = mail.inputStream()) {
                    in.transferTo(count);
                }
                mails++;
            }
        }
    }

    private void mime(Path umHome) throws IOException, MessagingException {
        Session session = Session.getInstance(new Properties());
        try (BounceMailbox mailbox = BounceMailbox.builder().umHome(umHome).open()) {
            for (BounceMessage mail : mailbox.fetch()) {
                new MimeMessage(session, mail.inputStream()).writeTo(count);
                mails++;
            }
        }
    }

    private void javaMail(String port, Path ca, String user, String password)
            throws IOException, MessagingException, GeneralSecurityException {
        Properties properties = new Properties();
        properties.put("mail.imaps.partialfetch", "false");
        properties.put("mail.imaps.fetchsize", "1048576");
        properties.put("mail.imaps.peek", "true");
        properties.put("mail.imaps.ssl.socketFactory", trusting(ca).getSocketFactory());
        FetchProfile profile = new FetchProfile();
        profile.add(IMAPFolder.FetchProfileItem.MESSAGE);
        profile.add(IMAPFolder.FetchProfileItem.INTERNALDATE);
        profile.add(FetchProfile.Item.FLAGS);
        profile.add(UIDFolder.FetchProfileItem.UID);
        try (Store store = Session.getInstance(properties).getStore("imaps")) {
            store.connect("localhost", Integer.parseInt(port), user, password);
            try (Folder inbox = store.getFolder("INBOX")) {
                inbox.open(Folder.READ_ONLY);
                Message[] found = inbox.search(new FlagTerm(new Flags(Flags.Flag.SEEN), false));
                for (int from = 0; from < found.length; from += AT_ONCE) {
                    Message[] some = Arrays.copyOfRange(found, from, Math.min(from + AT_ONCE, found.length));
                    inbox.fetch(some, profile);
                    for (Message mail : some) {
                        mail.writeTo(count);
                        mails++;
                        ((IMAPMessage) mail).invalidateHeaders();
                    }
                }
            }
        }
    }

    private static SSLContext trusting(Path ca) throws IOException, GeneralSecurityException {
        KeyStore issuers = KeyStore.getInstance(KeyStore.getDefaultType());
        issuers.load(null, null);
        try (InputStream in = Files.newInputStream(ca)) {
            for (Certificate issuer : CertificateFactory.getInstance("X.509").generateCertificates(in)) {
                issuers.setCertificateEntry("issuer " + issuers.size(), issuer);
            }
        }
        TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        trust.init(issuers);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(null, trust.getTrustManagers(), null);
        return context;
    }

    /** In kB. */
    private static long peak() throws IOException {
        for (String line : Files.readAllLines(Path.of("/proc/self/status"))) {
            if (line.startsWith("VmHWM:")) {
                return Long.parseLong(line.replaceAll("\\D", ""));
            }
        }
        return 0;
    }

    private static final class Count extends OutputStream {
        private long octets;

        @Override
        public void write(int octet) {
            octets++;
        }

        @Override
        public void write(byte[] buffer, int offset, int length) {
            octets += length;
        }
    }
}
