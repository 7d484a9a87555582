package um.imap.oauth2;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.lang.reflect.Modifier;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import javax.tools.Diagnostic;
import javax.tools.DiagnosticCollector;
import javax.tools.JavaCompiler;
import javax.tools.JavaFileObject;
import javax.tools.StandardJavaFileManager;
import javax.tools.ToolProvider;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The examples in the Javadoc, which UM's engineers are to copy. */
class JavadocTest {
    private static final Path SOURCES = Path.of("src/main/java/um/imap/oauth2");
    private static final String EXAMPLE = "(?s)<pre>\\{@code\\n(.*?)\\n *\\* }</pre>";

    /** A comment, and the beginning of what is declared behind it. */
    private static final Pattern DOCUMENTED = Pattern.compile("(?s)/\\*\\*(.*?)\\*/([^{};]*)");
    private static final Pattern PUBLIC_TYPE =
            Pattern.compile("(?m)^ *public (?:static |final |abstract )*(?:class|enum|interface) (\\w+)");

    /** What the examples take as given. An example's own variables may have the same names. */
    private static final List<String> GIVEN = List.of(
            "import java.nio.file.*;",
            "import java.util.*;",
            "import javax.mail.*;",
            "import javax.mail.internet.MimeMessage;",
            "import um.imap.oauth2.*;",
            "abstract class Example {",
            "    interface Log {",
            "        void info(String text);",
            "        void warn(String text);",
            "        void error(String text);",
            "    }",
            "    Log log;",
            "    System.Logger logger;",
            "    Map<String, String> config;",
            "    Path home, archive;",
            "    Session session;",
            "    BounceMailbox.Builder builder;",
            "    BounceMailbox mailbox;",
            "    BounceMessage mail;",
            "    MimeMessage message;",
            "    abstract Outcome classify(MimeMessage message);",
            "    abstract boolean isHardBounce(MimeMessage message);",
            "    abstract void tellThePostmaster(String... lines);",
            "    abstract void readWithUmsOwnReader();",
            "    void example() throws Exception {");

    @Test
    void everyPublicTypeHasAnExample() throws Exception {
        Set<String> types = new TreeSet<>();
        Path classes = Path.of(BounceMailbox.class.getProtectionDomain().getCodeSource().getLocation().toURI());
        for (Path file : files(classes.resolve("um/imap/oauth2"), "*.class")) {
            Class<?> type = Class.forName("um.imap.oauth2." + nameOf(file), false, JavadocTest.class.getClassLoader());
            if (Modifier.isPublic(type.getModifiers())) {
                types.add(nameOf(file));
            }
        }
        Set<String> shown = new TreeSet<>();
        for (Path file : files(SOURCES, "*.java")) {
            Matcher documented = DOCUMENTED.matcher(Files.readString(file));
            while (documented.find()) {
                Matcher type = PUBLIC_TYPE.matcher(documented.group(2));
                if (type.find() && !Sources.all(EXAMPLE, documented.group(1)).isEmpty()) {
                    String name = type.group(1);
                    shown.add(name.equals(nameOf(file)) ? name : nameOf(file) + "$" + name);
                }
            }
        }
        assertFalse(types.isEmpty());
        assertEquals(types, shown);
    }

    @Test
    void everyExampleCompiles(@TempDir Path directory) throws IOException {
        JavaCompiler compiler = ToolProvider.getSystemJavaCompiler();
        assumeTrue(compiler != null, "this JVM has no compiler");
        List<String> broken = new ArrayList<>();
        try (StandardJavaFileManager manager = compiler.getStandardFileManager(null, null, null)) {
            for (Path file : files(SOURCES, "*.java")) {
                for (String commented : Sources.all(EXAMPLE, Files.readString(file))) {
                    String example = commented.replaceAll("(?m)^ *\\* ?", "");
                    Path source = Files.writeString(directory.resolve("Example.java"),
                            String.join("\n", GIVEN) + "\n" + example + "\n}\n}\n");
                    DiagnosticCollector<JavaFileObject> found = new DiagnosticCollector<>();
                    List<String> options = List.of("--release", "11", "-proc:none",
                            "-cp", System.getProperty("java.class.path"), "-d", directory.toString());
                    compiler.getTask(null, manager, found, options, null, manager.getJavaFileObjects(source)).call();
                    for (Diagnostic<?> diagnostic : found.getDiagnostics()) {
                        if (diagnostic.getKind() == Diagnostic.Kind.ERROR) {
                            broken.add(file.getFileName() + ": " + diagnostic.getMessage(null) + "\n" + example + "\n");
                        }
                    }
                }
            }
        }
        assertEquals("", String.join("\n", broken));
    }

    private static List<Path> files(Path directory, String glob) throws IOException {
        List<Path> files = new ArrayList<>();
        try (DirectoryStream<Path> found = Files.newDirectoryStream(directory, glob)) {
            found.forEach(files::add);
        }
        return files;
    }

    /** Without what comes after the dot. */
    private static String nameOf(Path file) {
        return file.getFileName().toString().split("\\.")[0];
    }
}
