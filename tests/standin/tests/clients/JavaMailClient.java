import com.sun.mail.imap.AppendUID;
import com.sun.mail.imap.IMAPFolder;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import java.util.Arrays;
import java.util.Properties;
import javax.mail.AuthenticationFailedException;
import javax.mail.FetchProfile;
import javax.mail.Flags;
import javax.mail.Folder;
import javax.mail.Message;
import javax.mail.Multipart;
import javax.mail.Session;
import javax.mail.Store;
import javax.mail.UIDFolder;
import javax.mail.internet.MimeMessage;
import javax.mail.search.FlagTerm;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

/**
 * Reads a stand-in with JavaMail. Arguments: port, CA's PEM file, user, access token, and a directory with the octets of the
 * mails that the inbox holds, as 1.eml, 2.eml, …
 */
public class JavaMailClient {
    public static void main(String[] args) throws Exception {
        int port = Integer.parseInt(args[0]);
        String user = args[2];
        Path expected = Path.of(args[4]);
        Session session = session(Path.of(args[1]), true);

        Store refused = session.getStore("imaps");
        try {
            refused.connect("localhost", port, user, "wrong");
            throw new AssertionError("a wrong token was taken");
        } catch (AuthenticationFailedException e) {
            check(e.getMessage().contains("AUTHENTICATE failed."), e.getMessage());
        }

        for (boolean partial : new boolean[] {true, false}) {
            Session each = session(Path.of(args[1]), partial);
            try (Store store = each.getStore("imaps")) {
                store.connect("localhost", port, user, args[3]);
                read(each, (IMAPFolder) store.getFolder("INBOX"), expected);
            }
        }
        try (Store store = session.getStore("imaps")) {
            store.connect("localhost", port, user, args[3]);
            settle(session, store, expected);
        }
        System.out.println("well");
    }

    private static void read(Session session, IMAPFolder inbox, Path expected) throws Exception {
        inbox.open(Folder.READ_ONLY);
        Message[] messages = inbox.search(new FlagTerm(new Flags(Flags.Flag.DELETED), false));
        check(messages.length == expected.toFile().list().length, "mails: " + messages.length);
        FetchProfile profile = new FetchProfile();
        profile.add(FetchProfile.Item.ENVELOPE);
        profile.add(FetchProfile.Item.FLAGS);
        profile.add(FetchProfile.Item.CONTENT_INFO);
        profile.add(FetchProfile.Item.SIZE);
        profile.add(UIDFolder.FetchProfileItem.UID);
        inbox.fetch(messages, profile);
        for (Message message : messages) {
            byte[] octets = Files.readAllBytes(expected.resolve(inbox.getUID(message) + ".eml"));
            ByteArrayOutputStream written = new ByteArrayOutputStream();
            message.writeTo(written);
            check(Arrays.equals(octets, written.toByteArray()), "writeTo of " + inbox.getUID(message));
            MimeMessage copy = new MimeMessage(session, new ByteArrayInputStream(octets));
            check(java.util.Objects.equals(message.getSubject() == null ? "" : "x", copy.getSubject() == null ? "" : "x"),
                "subject of " + inbox.getUID(message) + ": " + message.getSubject());
            if (message.isMimeType("multipart/report")) {
                Multipart report = (Multipart) message.getContent();
                check(report.getCount() == 3, "parts: " + report.getCount());
                check(report.getBodyPart(0).getContent().toString().contains("unbekannter Empfänger"), "text");
                check(report.getBodyPart(1).isMimeType("message/delivery-status"), "status part");
                Message original = (Message) report.getBodyPart(2).getContent();
                check("Grüße".equals(original.getSubject()), "inner subject: " + original.getSubject());
                check("<1@mx.example.net>".equals(((MimeMessage) message).getMessageID()), "Message-ID");
            }
            try (InputStream body = message.getInputStream()) {
                body.readAllBytes();
            }
        }
        inbox.close(false);
    }

    private static void settle(Session session, Store store, Path expected) throws Exception {
        check(store.getDefaultFolder().list("*").length > 10, "folders");
        Folder target = store.getFolder("Gelöschtes/Hart");
        check(target.create(Folder.HOLDS_MESSAGES | Folder.HOLDS_FOLDERS), "create");
        IMAPFolder inbox = (IMAPFolder) store.getFolder("INBOX");
        inbox.open(Folder.READ_WRITE);
        int before = inbox.getMessageCount();
        inbox.getMessageByUID(1).setFlag(Flags.Flag.SEEN, true);
        check(inbox.getUnreadMessageCount() == before - 1, "unread");
        inbox.copyMessages(new Message[] {inbox.getMessageByUID(1)}, target);
        Message[] moving = {inbox.getMessageByUID(2), inbox.getMessageByUID(3)};
        AppendUID[] moved = inbox.moveUIDMessages(moving, target);
        check(moved[1].uid == 3, "COPYUID: " + moved[1].uid);
        check(moving[0].isExpunged() && moving[1].isExpunged(), "moved, but still there");
        inbox.getMessageByUID(4).setFlag(Flags.Flag.DELETED, true);
        Message[] gone = inbox.expunge(new Message[] {inbox.getMessageByUID(4)});
        check(gone.length == 1, "expunged: " + gone.length);
        target.appendMessages(new Message[] {
            new MimeMessage(session, new ByteArrayInputStream("Subject: appended\r\n\r\nline\r\n".getBytes()))
        });
        inbox.close(true);
        target.open(Folder.READ_ONLY);
        check(target.getMessageCount() == 4, "in the target: " + target.getMessageCount());
        ByteArrayOutputStream written = new ByteArrayOutputStream();
        target.getMessage(2).writeTo(written);
        check(Arrays.equals(Files.readAllBytes(expected.resolve("2.eml")), written.toByteArray()), "the moved mail");
        target.close(false);
    }

    private static Session session(Path ca, boolean partial) throws Exception {
        KeyStore trusted = KeyStore.getInstance(KeyStore.getDefaultType());
        trusted.load(null, null);
        try (InputStream pem = Files.newInputStream(ca)) {
            trusted.setCertificateEntry("ca", CertificateFactory.getInstance("X.509").generateCertificate(pem));
        }
        TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        trust.init(trusted);
        SSLContext tls = SSLContext.getInstance("TLS");
        tls.init(null, trust.getTrustManagers(), null);
        Properties properties = new Properties();
        properties.put("mail.imaps.ssl.socketFactory", tls.getSocketFactory());
        properties.put("mail.imaps.ssl.checkserveridentity", "true");
        properties.put("mail.imaps.auth.mechanisms", "XOAUTH2");
        properties.put("mail.imaps.partialfetch", Boolean.toString(partial));
        properties.put("mail.imaps.fetchsize", "1000");
        properties.put("mail.imaps.peek", "true");
        properties.put("mail.imaps.timeout", "20000");
        properties.put("mail.mime.allowutf8", "true");
        return Session.getInstance(properties);
    }

    private static void check(boolean well, String what) {
        if (!well) {
            throw new AssertionError(what);
        }
    }
}
