import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import um.imap.oauth2.BounceMailbox;
import um.imap.oauth2.BounceMessage;
import um.imap.oauth2.Health;
import um.imap.oauth2.MailboxException;
import um.imap.oauth2.Outcome;

/**
 * Does with a mailbox what a line on standard input says, and answers with the exception that came of it. {@code main.rs}
 * starts it.
 *
 * <p>A request is a number, what to do, and UM's home; an answer is the number, then the id, the cause and the whole text of
 * the exception. Tabs stand between them.
 */
final class Driver {
    private Driver() {
    }

    public static void main(String[] arguments) throws IOException {
        BufferedReader requests = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = requests.readLine(); line != null; line = requests.readLine()) {
            String[] request = line.split("\t");
            new Thread(() -> answer(request[0], seen(request[1], Path.of(request[2])))).start();
        }
    }

    private static void answer(String number, List<MailboxException> seen) {
        MailboxException first = seen.isEmpty() ? null : seen.get(0);
        String answer = first == null ? "-\t-\tnothing was thrown"
                : first.id().orElse("-") + "\t" + plain(first.causeText()) + "\t" + plain(first.getMessage());
        synchronized (System.out) {
            byte[] line = (number + "\t" + answer + "\n").getBytes(StandardCharsets.UTF_8);
            System.out.write(line, 0, line.length);
            System.out.flush();
        }
    }

    private static List<MailboxException> seen(String action, Path umHome) {
        try (BounceMailbox mailbox = BounceMailbox.builder().umHome(umHome).log((level, text) -> { }).open()) {
            act(mailbox, action, umHome);
            if (action.equals("health")) {
                Health health = mailbox.health();
                List<MailboxException> all = new ArrayList<>();
                health.failure().ifPresent(all::add);
                all.addAll(health.warnings());
                return all;
            }
            return List.of();
        } catch (MailboxException e) {
            return List.of(e);
        } catch (RuntimeException | Error e) {
            return List.of();
        }
    }

    private static void act(BounceMailbox mailbox, String action, Path umHome) {
        switch (action) {
            case "again":
                read(mailbox);
                read(mailbox);
                break;
            case "settle":
                for (BounceMessage mail : mailbox.fetch()) {
                    mailbox.settle(mail, Outcome.HARDBOUNCE);
                }
                mailbox.flush();
                break;
            case "busy":
                mailbox.fetch();
                try (BounceMailbox second = BounceMailbox.builder().umHome(umHome).log((level, text) -> { }).open()) {
                    second.fetch();
                }
                break;
            case "replaced":
                BounceMessage old = mailbox.fetch().iterator().next();
                read(mailbox);
                mailbox.settle(old, Outcome.HARDBOUNCE);
                break;
            case "closed":
                mailbox.close();
                mailbox.fetch();
                break;
            case "usage":
                Iterable<BounceMessage> first = mailbox.fetch();
                mailbox.fetch();
                first.iterator().hasNext();
                break;
            default:
                read(mailbox);
                break;
        }
    }

    private static void read(BounceMailbox mailbox) {
        for (BounceMessage mail : mailbox.fetch()) {
            mailbox.settle(mail, Outcome.KEEP);
        }
    }

    private static String plain(String text) {
        return text.replaceAll("\\s+", " ");
    }
}
