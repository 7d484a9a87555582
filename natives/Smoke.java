import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicInteger;
import um.imap.oauth2.BounceMailbox;
import um.imap.oauth2.BounceMessage;
import um.imap.oauth2.MailboxException;
import um.imap.oauth2.Outcome;

/**
 * With the jar alone, in a JVM of any platform: a wrong configuration is explained, the mailbox of a UM_HOME is read, and a
 * thread that is near the end of its stack gets an error.
 */
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
            // At the end: a class of Java's that overflows the stack when it is initialised is of no use afterwards.
            int overflows = 0;
            for (Runnable call : List.<Runnable>of(mailbox::health, mailbox::check, () -> BounceMailbox.builder().settings(wrong).open())) {
                overflows += nearTheEnd(call);
            }
            System.out.println("overflows\t" + overflows);
        } catch (MailboxException e) {
            System.out.println("failed\t" + e.kind() + "\t" + e.getMessage());
        }
    }

    /** Calls it on a thread where its stack has no room, and where it has just enough; returns how often it had none. */
    private static int nearTheEnd(Runnable call) throws InterruptedException {
        AtomicInteger overflows = new AtomicInteger();
        Thread thread = new Thread(null, () -> down(call, overflows), "near the end", 512 << 10);
        thread.start();
        thread.join();
        return overflows.get();
    }

    private static void down(Runnable call, AtomicInteger overflows) {
        try {
            down(call, overflows);
            return;
        } catch (StackOverflowError e) {
            // The caller's turn.
        }
        try {
            call.run();
        } catch (StackOverflowError e) {
            overflows.incrementAndGet();
            throw e;
        } catch (MailboxException e) {
            // There was room for it.
        }
    }
}
