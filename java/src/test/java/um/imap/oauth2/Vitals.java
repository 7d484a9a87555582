package um.imap.oauth2;

import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import javax.management.JMException;
import javax.management.ObjectName;

/** What this process uses. */
final class Vitals {
    private Vitals() {
    }

    /** The names of the native threads of mailboxes. */
    static List<String> threads() throws IOException {
        List<String> names = new ArrayList<>();
        for (Path thread : children("/proc/self/task")) {
            try {
                String name = Files.readString(thread.resolve("comm")).trim();
                if (name.startsWith("um-imap-")) {
                    names.add(name);
                }
            } catch (NoSuchFileException e) {
                // It has ended meanwhile.
            } catch (IOException e) {
                // So has this one: reading says "no such process".
                if (Files.exists(thread)) {
                    throw e;
                }
            }
        }
        return names;
    }

    static int descriptors() throws IOException {
        return children("/proc/self/fd").size();
    }

    /** Kilobytes of memory that are resident and of no file. */
    static long resident() throws IOException {
        Matcher matcher = Pattern.compile("RssAnon:\\s*(\\d+) kB").matcher(Files.readString(Path.of("/proc/self/status")));
        if (!matcher.find()) {
            throw new IOException("/proc/self/status has no RssAnon");
        }
        return Long.parseLong(matcher.group(1));
    }

    /** References that native code holds, strong and weak; as the JVM counts them at the end of a thread dump. */
    static int references() throws JMException {
        Object dump = ManagementFactory.getPlatformMBeanServer().invoke(
                new ObjectName("com.sun.management:type=DiagnosticCommand"), "threadPrint", new Object[] {new String[0]},
                new String[] {String[].class.getName()});
        Matcher matcher = Pattern.compile("JNI global ref\\w+: (\\d+), weak refs: (\\d+)").matcher((String) dump);
        if (!matcher.find()) {
            throw new JMException("no JNI references in the thread dump");
        }
        return Integer.parseInt(matcher.group(1)) + Integer.parseInt(matcher.group(2));
    }

    /** Waits until something is so. It takes as long as it takes, but not for ever. */
    static void await(String what, Callable<Boolean> condition) throws Exception {
        long end = System.nanoTime() + TimeUnit.MINUTES.toNanos(2);
        while (!condition.call()) {
            if (System.nanoTime() > end) {
                throw new AssertionError("not " + what);
            }
            Thread.sleep(10);
        }
    }

    private static List<Path> children(String directory) throws IOException {
        try (Stream<Path> paths = Files.list(Path.of(directory))) {
            return paths.collect(Collectors.toList());
        }
    }
}
