import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import um.imap.oauth2.BounceMailbox;
import um.imap.oauth2.BounceMessage;
import um.imap.oauth2.Outcome;

/**
 * Reads and settles mails until it is killed: the same as {@code victim} in {@code tests/real_servers/kills.rs}, which starts
 * it.
 *
 * <p>Arguments: UM's home, the ledger, and after how many mails a fetch is given up for a new one. Each line of the ledger is
 * written with one {@code write(2)} at its end.
 */
final class Victim {
    private static final Pattern NUMBER = Pattern.compile("Subject: (\\d+)\r\n");

    private Victim() {
    }

    public static void main(String[] arguments) throws IOException, InterruptedException {
        Path umHome = Path.of(arguments[0]);
        Path ledger = Path.of(arguments[1]);
        int most = Integer.parseInt(arguments[2]);
        try (BounceMailbox mailbox = BounceMailbox.builder().umHome(umHome).open()) {
            while (true) {
                int count = 0;
                for (BounceMessage mail : mailbox.fetch()) {
                    int number = number(mail);
                    write(ledger, "H " + number);
                    Thread.sleep(number % 2);
                    settle(mailbox, mail, number);
                    write(ledger, "S " + number);
                    if (number % 25 == 0) {
                        mailbox.flush();
                    }
                    count++;
                    if (count == most) {
                        break;
                    }
                    Thread.sleep(1 - number % 2);
                }
                mailbox.flush();
                if (count == 0) {
                    Thread.sleep(10);
                }
            }
        }
    }

    private static void settle(BounceMailbox mailbox, BounceMessage mail, int number) {
        switch (number % 8) {
            case 0:
                mailbox.settle(mail, Outcome.UNRECOGNISED);
                break;
            case 1:
                mailbox.settle(mail, Outcome.HARDBOUNCE);
                break;
            case 2:
                mailbox.move(mail, "by hand");
                break;
            case 3:
                mailbox.delete(mail);
                break;
            case 4:
                mailbox.settle(mail, Outcome.KEEP_READ);
                break;
            case 5:
                mailbox.settle(mail, Outcome.SPAM);
                break;
            case 6:
                mailbox.settle(mail, Outcome.HANDLED);
                break;
            default:
                mailbox.settle(mail, Outcome.SOFTBOUNCE);
                break;
        }
    }

    private static int number(BounceMessage mail) {
        Matcher matcher = NUMBER.matcher(new String(mail.bytes(), StandardCharsets.ISO_8859_1));
        if (!matcher.lookingAt()) {
            throw new IllegalStateException("a mail without its number");
        }
        return Integer.parseInt(matcher.group(1));
    }

    private static void write(Path ledger, String line) throws IOException {
        Files.write(ledger, (line + "\n").getBytes(StandardCharsets.US_ASCII), StandardOpenOption.APPEND);
    }
}
