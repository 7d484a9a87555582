import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Date;
import java.util.Optional;
import java.util.Properties;
import javax.mail.Message;
import javax.mail.MessagingException;
import javax.mail.Session;
import javax.mail.internet.InternetAddress;
import javax.mail.internet.InternetHeaders;
import javax.mail.internet.MimeBodyPart;
import javax.mail.internet.MimeMessage;
import javax.mail.internet.MimeMultipart;
import um.imap.oauth2.BounceMailbox;
import um.imap.oauth2.BounceMessage;
import um.imap.oauth2.Health;
import um.imap.oauth2.MailboxException;
import um.imap.oauth2.Outcome;

/**
 * One poll of a bounce mailbox, as Universal Messenger's bounce loop does it: each mail is archived, classified, forwarded to the
 * postmaster where it was not recognised, and settled.
 *
 * <p>For {@code jakarta.mail} write {@code jakarta} for {@code javax} in the imports; no other line changes.
 *
 * <p>Arguments: UM's home, a directory in which each mail is archived, and the name of a listener (left out: the primary
 * mailbox). Prints a line for each mail: UID, outcome and subject, separated by tabs; or {@code failed}, a tab and why. What the
 * postmaster is sent is written to {@code outbox} in UM's home.
 */
final class BounceLoop {
    private static final Session SESSION = Session.getInstance(new Properties());
    private static final String POSTMASTER = "postmaster@example.com";

    private final Path archive;
    private final Path outbox;
    private final PrintStream out = new PrintStream(System.out, true, StandardCharsets.UTF_8);

    private BounceLoop(Path umHome, Path archive) {
        this.archive = archive;
        this.outbox = umHome.resolve("outbox");
    }

    public static void main(String[] arguments) throws IOException, MessagingException {
        Path umHome = Path.of(arguments[0]);
        String listener = arguments.length > 2 ? arguments[2] : null;
        System.exit(new BounceLoop(umHome, Path.of(arguments[1])).run(umHome, listener));
    }

    private int run(Path umHome, String listener) throws IOException, MessagingException {
        // Inside UM: .settings(config::get), and the mailbox stays open from poll to poll.
        BounceMailbox.Builder builder = BounceMailbox.builder().umHome(umHome).listener(listener).onHealth(this::report);
        try {
            Optional<BounceMailbox> opened = open(builder);
            if (opened.isEmpty()) {
                out.println("built-in\tUM's own reader polls the mailbox");
                return 0;
            }
            try (BounceMailbox mailbox = opened.get()) {
                poll(mailbox);
            }
            return 0;
        } catch (MailboxException e) {
            out.println("failed\t" + e.getMessage());
            return 1;
        }
    }

    /** Empty: UM's built-in reader goes on, since the administrator wants it, or the native library does not load here. */
    private static Optional<BounceMailbox> open(BounceMailbox.Builder builder) {
        if (System.getProperty("um.bounce.reader", "oauth2").equals("built-in")) {
            return Optional.empty();
        }
        try {
            return Optional.of(builder.open());
        } catch (MailboxException e) {
            if (e.kind() == MailboxException.Kind.LIBRARY) {
                return Optional.empty();
            }
            throw e;
        }
    }

    private void poll(BounceMailbox mailbox) throws IOException, MessagingException {
        for (BounceMessage mail : mailbox.fetch()) {
            Files.write(archive.resolve(mail.uid() + ".eml"), mail.bytes());
            String subject = "";
            Outcome outcome = Outcome.UNRECOGNISED;
            try {
                ReceivedMessage message = new ReceivedMessage(mail);
                subject = String.valueOf(message.getSubject());
                outcome = Classifier.classify(message);
            } catch (MessagingException | IOException e) {
                // Not a mail that JavaMail can read: for a human being.
            }
            if (outcome == Outcome.UNRECOGNISED) {
                send(mail.uid() + ".eml", forwarded(mail, subject));
            }
            mailbox.settle(mail, outcome);
            out.println(mail.uid() + "\t" + outcome + "\t" + subject.replaceAll("\\s+", " "));
        }
    }

    /** A mail that knows when the server received it, which is in none of its headers that can be trusted. */
    private static final class ReceivedMessage extends MimeMessage {
        private final Date received;

        ReceivedMessage(BounceMessage mail) throws MessagingException {
            super(SESSION, mail.inputStream());
            received = mail.internalDate().map(Date::from).orElse(null);
        }

        @Override
        public Date getReceivedDate() {
            return received;
        }
    }

    /** The mail as an attachment with all its headers, octet for octet; also where it cannot be parsed. */
    private static MimeMessage forwarded(BounceMessage mail, String subject) throws MessagingException {
        MimeBodyPart text = new MimeBodyPart();
        text.setText("Universal Messenger could not tell what this mail is.\nIt was received at "
                + mail.internalDate().map(String::valueOf).orElse("an unknown time") + " and now lies in the error folder.\n");
        InternetHeaders headers = new InternetHeaders();
        headers.setHeader("Content-Type", "message/rfc822");
        headers.setHeader("Content-Disposition", "attachment");
        MimeMessage forwarded = toPostmaster("Fwd: " + subject);
        forwarded.setContent(new MimeMultipart(text, new MimeBodyPart(headers, mail.bytes())));
        return forwarded;
    }

    /** Of each change for the worse or the better the postmaster is told once. */
    private void report(Health health) {
        try {
            MimeMessage message = toPostmaster("Bounce mailbox " + health.mailbox() + ": " + health.state());
            message.setText(health.toString());
            send("health.eml", message);
        } catch (MessagingException | IOException e) {
            out.println("failed\t" + e);
        }
    }

    private static MimeMessage toPostmaster(String subject) throws MessagingException {
        MimeMessage message = new MimeMessage(SESSION);
        message.setFrom(new InternetAddress("um@example.com"));
        message.setRecipient(Message.RecipientType.TO, new InternetAddress(POSTMASTER));
        message.setSubject(subject, "UTF-8");
        message.setSentDate(new Date());
        return message;
    }

    /** In UM: {@code Transport.send(message)}. */
    private void send(String name, MimeMessage message) throws IOException, MessagingException {
        try (OutputStream file = Files.newOutputStream(Files.createDirectories(outbox).resolve(name))) {
            message.writeTo(file);
        }
    }
}
