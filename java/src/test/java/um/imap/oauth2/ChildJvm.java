package um.imap.oauth2;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.File;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.TimeUnit;

/** A JVM of a test's own, of the same kind as this one, whose standard output and error are looked at. */
final class ChildJvm {
    private final Path directory;
    private final List<String> prefix = new ArrayList<>();
    private final List<String> options = new ArrayList<>();
    private String classPath = System.getProperty("java.class.path");

    /** {@code directory} is for files of the run. */
    ChildJvm(Path directory) throws IOException {
        this.directory = directory;
        // What is logged goes nowhere: the console handler of java.util.logging writes to standard error.
        Path logging = Files.writeString(directory.resolve("logging.properties"), "handlers =\n");
        options.add("-Djava.util.logging.config.file=" + logging);
        for (String property : List.of(NativeLibrary.PROPERTY, Standin.PROPERTY)) {
            options.add("-D" + property + "=" + System.getProperty(property));
        }
        options.add("-XX:ErrorFile=" + directory.resolve("hs_err.log"));
        if (Runtime.version().feature() >= 24) {
            options.add(NATIVE_ACCESS);
        }
    }

    /** Without leave to load native libraries, which JVMs before 24 do not ask for. */
    ChildJvm withoutNativeAccess() {
        options.remove(NATIVE_ACCESS);
        return this;
    }

    ChildJvm with(String... more) {
        options.addAll(Arrays.asList(more));
        return this;
    }

    /** The command that starts the JVM. */
    ChildJvm under(String... command) {
        prefix.addAll(Arrays.asList(command));
        return this;
    }

    /**
     * Under another mount of the same directory, {@code noexec} or {@code ro}, which this JVM alone sees. Where that is
     * not allowed the test is skipped.
     */
    ChildJvm underMount(String option, Path directory) throws IOException, InterruptedException {
        under("unshare", "--mount", "sh", "-c",
                "mount --bind \"$0\" \"$0\" && mount -o remount,bind," + option + " \"$0\" && exec \"$@\"", directory.toString());
        List<String> trial = new ArrayList<>(prefix);
        trial.add("true");
        String refusal;
        try {
            Process process = new ProcessBuilder(trial).redirectErrorStream(true).start();
            refusal = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
            refusal = process.waitFor() == 0 ? null : refusal;
        } catch (IOException e) {
            refusal = e.getMessage();
        }
        if (refusal != null) {
            System.err.println("Skipped: nothing can be mounted here: " + refusal);
        }
        assumeTrue(refusal == null, "nothing can be mounted here: " + refusal);
        return this;
    }

    /** With {@code first} before all others, and without the entries that contain {@code without}. */
    ChildJvm classPath(Path first, String... without) {
        List<String> entries = new ArrayList<>(List.of(first.toString()));
        for (String entry : System.getProperty("java.class.path").split(File.pathSeparator)) {
            if (Arrays.stream(without).noneMatch(entry::contains)) {
                entries.add(entry);
            }
        }
        classPath = String.join(File.pathSeparator, entries);
        return this;
    }

    /**
     * Runs {@code main} to its end, which must come.
     *
     * @return what it wrote
     */
    Output run(String main, String... arguments) throws IOException, InterruptedException {
        List<String> command = new ArrayList<>(prefix);
        command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
        command.addAll(options);
        command.addAll(List.of("-cp", classPath, main));
        command.addAll(Arrays.asList(arguments));
        File out = directory.resolve("stdout").toFile();
        File err = directory.resolve("stderr").toFile();
        Process process = new ProcessBuilder(command).redirectInput(new File("/dev/null"))
                .redirectOutput(out).redirectError(err).start();
        boolean ended = process.waitFor(MINUTES, TimeUnit.MINUTES);
        if (!ended) {
            // SIGQUIT: the JVM writes to its standard output where its threads are.
            new ProcessBuilder("kill", "-QUIT", String.valueOf(process.pid())).start().waitFor();
            Thread.sleep(2_000);
            process.destroyForcibly();
        }
        Output output = new Output(ended ? process.exitValue() : -1, Files.readString(out.toPath()),
                Files.readString(err.toPath()));
        assertTrue(ended, () -> "it did not end within " + MINUTES + " minutes: " + output);
        return output;
    }

    /** Runs {@code main}, which has to succeed and to write nothing. */
    void runSilently(Class<?> main, String... arguments) throws IOException, InterruptedException {
        assertEquals(new Output(0, "", "").toString(), run(main.getName(), arguments).toString());
    }

    static final class Output {
        final int code;
        final String out;
        final String err;

        Output(int code, String out, String err) {
            this.code = code;
            this.out = out;
            this.err = err;
        }

        @Override
        public String toString() {
            return "exit code " + code + "\nstandard output:\n" + out + "\nstandard error:\n" + err;
        }
    }

    private static final String NATIVE_ACCESS = "--enable-native-access=ALL-UNNAMED";

    /** Past this it hangs, whatever the machine. */
    private static final int MINUTES = 60;
}
