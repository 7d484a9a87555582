import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.Map;
import um.imap.oauth2.BounceMailbox;
import um.imap.oauth2.BounceMessage;
import um.imap.oauth2.MailboxException;
import um.imap.oauth2.Outcome;

/** With the jar alone, in a JVM of any platform: a wrong configuration is explained, and the mailbox of a UM_HOME is read. */
final class Smoke {
    private Smoke() {
    }

    public static void main(String[] arguments) throws Exception {
        System.out.println("jvm\t" + System.getProperty("os.name") + " " + System.getProperty("os.arch") + " "
                + System.getProperty("java.version"));
        Map<String, String> wrong = Map.of("cmsbs.server.home", arguments[0], "cmsbs.mail.imap.server", "localhost",
                "cmsbs.mail.imap.port", "many");
        try (BounceMailbox mailbox = BounceMailbox.builder().settings(wrong).open()) {
            System.out.println("opened\t" + mailbox);
        } catch (MailboxException e) {
            System.out.println("refused\t" + e.kind() + "\t" + e.getMessage());
        }
        MessageDigest digest = MessageDigest.getInstance("SHA-256");
        try (BounceMailbox mailbox = BounceMailbox.builder().umHome(Path.of(arguments[0])).open()) {
            int mails = 0;
            for (BounceMessage mail : mailbox.fetch()) {
                digest.update(mail.bytes());
                mailbox.settle(mail, Outcome.HANDLED);
                mails++;
            }
            mailbox.flush();
            StringBuilder hex = new StringBuilder();
            for (byte octet : digest.digest()) {
                hex.append(String.format("%02x", octet));
            }
            System.out.println("fetched\t" + mails + "\t" + hex);
        } catch (MailboxException e) {
            System.out.println("failed\t" + e.kind() + "\t" + e.getMessage());
        }
    }
}
