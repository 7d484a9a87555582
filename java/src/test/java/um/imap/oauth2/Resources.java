package um.imap.oauth2;

import static java.util.stream.Collectors.joining;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;

/** The programs of {@link ResourcesTest}. Arguments: which one, a directory for its files, and how often. */
final class Resources {
    private Resources() {
    }

    public static void main(String[] arguments) throws Exception {
        Path directory = Path.of(arguments[1]);
        int times = Integer.parseInt(arguments[2]);
        switch (arguments[0]) {
            case "again":
                again(directory, times);
                break;
            case "threads":
                threads(directory, times);
                break;
            case "left open":
                leftOpen(directory, times);
                break;
            default:
                little(directory, times);
        }
    }

    /** Opens, fetches and closes again and again; says what that took of everything halfway and at the end. */
    private static void again(Path directory, int times) throws Exception {
        try (Standin standin = new Standin(directory, Standin.of(Standin.mailbox(Standin.USER, 5), ""))) {
            Map<String, String> settings = standin.settings();
            StringBuilder report = new StringBuilder();
            for (int half = 0; half < 2; half++) {
                for (int i = 0; i < times / 2; i++) {
                    try (BounceMailbox mailbox = BounceMailbox.builder().settings(settings).log((level, text) -> { }).open()) {
                        int mails = 0;
                        for (BounceMessage mail : mailbox.fetch()) {
                            mails += mail.bytes().length > 5_000 ? 1 : 0;
                        }
                        if (mails != 5) {
                            throw new AssertionError(mails + " mails");
                        }
                    }
                }
                Vitals.await("at an end with every thread", () -> Vitals.threads().isEmpty());
                System.gc();
                report.append(Vitals.descriptors()).append(' ').append(Vitals.references()).append(' ')
                        .append(Vitals.resident()).append('\n');
            }
            Files.writeString(directory.resolve("report"), report);
        }
    }

    /** So many mailboxes in the middle of a fetch, then closed; says which threads there were. */
    private static void threads(Path directory, int times) throws Exception {
        try (Standin standin = new Standin(directory, mailboxes(times))) {
            List<BounceMailbox> mailboxes = fetching(standin, times);
            List<String> during = Vitals.threads();
            // A thread that is attached to the JVM is one of Java's.
            long attached = Thread.getAllStackTraces().keySet().stream()
                    .filter(thread -> thread.getName().startsWith("um-imap-") || thread.getName().startsWith("Thread-")).count();
            mailboxes.forEach(BounceMailbox::close);
            Vitals.await("at an end with every thread", () -> Vitals.threads().isEmpty());
            Files.writeString(directory.resolve("report"), attached + "\n" + String.join("\n", during));
        }
    }

    /** Ends with mailboxes open. */
    private static void leftOpen(Path directory, int times) throws IOException {
        // Nothing of Java's own is to keep this JVM alive: the stand-in ends when its standard input does.
        List<BounceMailbox> mailboxes = fetching(new Standin(directory, mailboxes(times)), times);
        Files.writeString(directory.resolve("report"), mailboxes.size() + " " + System.currentTimeMillis());
    }

    /** Reads so many mails in little memory, and says how much it was at most. */
    private static void little(Path directory, int times) throws IOException {
        long octets = 0;
        int mails = 0;
        // The stand-in is the parent's: it counts in this JVM's limit otherwise.
        Map<String, String> settings = ExampleSettings.read(directory.resolve("settings"));
        try (BounceMailbox mailbox = BounceMailbox.builder().settings(settings).log((level, text) -> { }).open()) {
            for (BounceMessage mail : mailbox.fetch()) {
                octets += mail.bytes().length;
                mails++;
                mailbox.settle(mail, Outcome.UNRECOGNISED);
            }
            mailbox.flush();
        }
        if (mails != times) {
            throw new AssertionError(mails + " mails of " + octets + " octets");
        }
        String peak = Arrays.stream(Files.readString(Path.of("/proc/self/status")).split("\n"))
                .filter(line -> line.startsWith("VmHWM")).findFirst().orElseThrow();
        Files.writeString(directory.resolve("report"), peak.replaceAll("[^0-9]", ""));
    }

    private static String mailboxes(int count) {
        return Standin.of(IntStream.range(0, count).mapToObj(i -> Standin.mailbox(user(i), 5)).collect(joining(",")), "");
    }

    private static String user(int i) {
        return "bounces" + i + "@example.com";
    }

    private static List<BounceMailbox> fetching(Standin standin, int times) {
        List<BounceMailbox> mailboxes = new ArrayList<>();
        for (int i = 0; i < times; i++) {
            BounceMailbox mailbox = BounceMailbox.builder().settings(standin.settings(user(i))).log((level, text) -> { }).open();
            mailbox.fetch().iterator().next();
            mailboxes.add(mailbox);
        }
        return mailboxes;
    }
}
