package um.imap.oauth2;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Threads, descriptors, memory: each test in a JVM of its own. */
class ResourcesTest {
    /** {@code -Dcycles=100} for a short one. */
    private static final int CYCLES = Integer.getInteger("cycles", 2_000);

    @TempDir
    private Path directory;

    @Test
    void nothingGrowsWhenAMailboxIsOpenedAndClosedAgainAndAgain() throws Exception {
        // A heap that is there from the start, so that what grows is not that.
        new ChildJvm(directory).with("-Xcheck:jni", "-Xms48m", "-Xmx48m", "-XX:+AlwaysPreTouch", "-XX:+UseSerialGC")
                .runSilently(Resources.class, "again", directory.toString(), String.valueOf(CYCLES));
        String[] report = report().split("\n");
        long[] half = Stream.of(report[0].split(" ")).mapToLong(Long::parseLong).toArray();
        long[] end = Stream.of(report[1].split(" ")).mapToLong(Long::parseLong).toArray();
        if (Integer.getInteger("cycles") != null) {
            Files.writeString(Path.of("target", "resources.txt"), String.join("\n", report));
        }
        assertTrue(end[0] <= half[0], () -> "descriptors: " + half[0] + ", then " + end[0]);
        assertTrue(end[1] <= half[1] + 2, () -> "JNI references: " + half[1] + ", then " + end[1]);
        // The JVM itself still compiles a little; five mails are fetched each time, one left behind were 3 MB at 300 times.
        assertTrue(end[2] <= half[2] + Math.max(2_000, CYCLES), () -> "kB of memory: " + half[2] + ", then " + end[2]);
    }

    @Test
    void aMailboxHasAtMostTwoThreadsWhichAreNamedAndNeverOfTheJvm() throws Exception {
        int mailboxes = 8;
        new ChildJvm(directory).runSilently(Resources.class, "threads", directory.toString(), String.valueOf(mailboxes));
        List<String> lines = List.of(report().split("\n"));
        assertEquals("0", lines.get(0), "threads that are attached");
        Set<String> names = new TreeSet<>(lines.subList(1, lines.size()));
        assertTrue(names.contains("um-imap-oauth2"), names.toString());
        assertTrue(lines.size() - 1 <= 2 * mailboxes, lines.toString());
    }

    @Test
    void aJvmEndsPromptlyWithMailboxesLeftOpen() throws Exception {
        new ChildJvm(directory).runSilently(Resources.class, "left open", directory.toString(), "8");
        String[] report = report().split(" ");
        assertEquals("8", report[0]);
        long took = System.currentTimeMillis() - Long.parseLong(report[1]);
        // What would hold it up (a thread that is attached, a server that says nothing) does so for minutes.
        assertTrue(took < 30_000, () -> "it took " + took + " ms to end");
    }

    @Test
    void aSmallHeapInASmallContainerIsEnough() throws Exception {
        int mails = 2_000;
        Optional<Path> group = memoryGroup();
        try (Standin standin = new Standin(directory, Standin.of(Standin.mailbox(Standin.USER, mails), ""))) {
            ExampleSettings.write(standin.settings(), directory.resolve("settings"));
            ChildJvm child = new ChildJvm(directory).with("-Xmx64m");
            // Past the limit the kernel ends the process. Where no such group can be made, the peak is measured alone.
            group.ifPresent(path -> child.under("sh", "-c", "echo $$ > " + path.resolve("cgroup.procs") + " && exec \"$0\" \"$@\""));
            child.runSilently(Resources.class, "little", directory.toString(), String.valueOf(mails));
            assertEquals(mails, standin.count("error"));
        } finally {
            if (group.isPresent()) {
                Files.delete(group.get());
            }
        }
        int peak = Integer.parseInt(report());
        assertTrue(peak < 128 * 1024, () -> peak + " kB at most");
    }

    private String report() throws IOException {
        return Files.readString(directory.resolve("report"));
    }

    /** A control group below that of this process, limited to 128 MB; version 1 or 2. */
    private static Optional<Path> memoryGroup() throws IOException {
        for (String line : Files.readAllLines(Path.of("/proc/self/cgroup"))) {
            String[] parts = line.split(":", 3);
            boolean first = List.of(parts[1].split(",")).contains("memory");
            if (!first && !parts[1].isEmpty()) {
                continue;
            }
            Path parent = Path.of(first ? "/sys/fs/cgroup/memory" : "/sys/fs/cgroup", parts[2]);
            Path group = parent.resolve("um-imap-oauth2-test-" + ProcessHandle.current().pid());
            try {
                Files.createDirectory(group);
                Path limit = group.resolve(first ? "memory.limit_in_bytes" : "memory.max");
                if (Files.exists(limit)) {
                    Files.writeString(limit, String.valueOf(128L << 20));
                    return Optional.of(group);
                }
                Files.delete(group);
            } catch (IOException e) {
                // Not root, or no such hierarchy here.
            }
        }
        return Optional.empty();
    }
}
