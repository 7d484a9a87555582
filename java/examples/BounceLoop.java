import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Properties;
import javax.mail.MessagingException;
import javax.mail.Session;
import javax.mail.internet.MimeMessage;
import um.imap.oauth2.BounceMailbox;
import um.imap.oauth2.BounceMessage;
import um.imap.oauth2.MailboxException;
import um.imap.oauth2.Outcome;

/**
 * One poll of a bounce mailbox, as Universal Messenger's bounce loop does it.
 *
 * <p>Arguments: UM's home, a directory in which each mail is archived, and the name of a listener (left out: the primary
 * mailbox). Prints a line for each mail: UID, outcome and subject, separated by tabs; or {@code failed}, a tab and why.
 */
final class BounceLoop {
    private static final Session SESSION = Session.getInstance(new Properties());

    private BounceLoop() {
    }

    public static void main(String[] arguments) throws IOException {
        Path umHome = Path.of(arguments[0]);
        Path archive = Path.of(arguments[1]);
        String listener = arguments.length > 2 ? arguments[2] : null;
        PrintStream out = new PrintStream(System.out, true, StandardCharsets.UTF_8);

        // Inside UM: .settings(config::get), and the mailbox stays open from poll to poll.
        try (BounceMailbox mailbox = BounceMailbox.builder().umHome(umHome).listener(listener).open()) {
            for (BounceMessage mail : mailbox.fetch()) {
                Files.write(archive.resolve(mail.uid() + ".eml"), mail.bytes());
                String subject = "";
                Outcome outcome = Outcome.UNRECOGNISED;
                try {
                    MimeMessage message = new MimeMessage(SESSION, mail.inputStream());
                    subject = String.valueOf(message.getSubject());
                    outcome = Classifier.classify(message);
                } catch (MessagingException | IOException e) {
                    // Not a mail that JavaMail can read: for a human being.
                }
                mailbox.settle(mail, outcome);
                out.println(mail.uid() + "\t" + outcome + "\t" + subject.replaceAll("\\s+", " "));
            }
        } catch (MailboxException e) {
            out.println("failed\t" + e.getMessage());
            System.exit(1);
        }
    }
}
