package um.imap.oauth2;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Base64;
import java.util.List;
import java.util.Properties;
import javax.mail.Multipart;
import javax.mail.Session;
import javax.mail.internet.MimeMessage;
import javax.tools.JavaCompiler;
import javax.tools.ToolProvider;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** {@code java/examples} as UM's engineers would take it over: compiled, and run against the stand-in. */
class ExamplesTest {
    private static final String BOUNCE = "Subject: Undelivered Mail\n\nhost said: 550 5.1.1 no such user\n";
    private static final String QUESTION = "From: reader@example.org\nX-Original-To: news@example.com\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\n\nHello\n";

    @TempDir
    private Path directory;

    @ParameterizedTest
    @ValueSource(strings = {"javax", "jakarta"})
    void theBounceLoopArchivesClassifiesForwardsAndSettles(String api) throws Exception {
        Path umHome = Files.createDirectories(directory.resolve("um"));
        Path archive = Files.createDirectories(directory.resolve("archive"));
        try (Standin standin = new Standin(directory, scenario())) {
            writeProperties(standin, umHome);
            ChildJvm.Output output = jvm(api).run("BounceLoop", umHome.toString(), archive.toString());
            assertEquals(new ChildJvm.Output(0, "1\tHARDBOUNCE\tUndelivered Mail\n2\tUNRECOGNISED\tGr\u00fc\u00dfe\n", "").toString(),
                    output.toString());
            assertEquals(1, standin.count("debug"));
            assertEquals(1, standin.count("error"));
            for (int uid = 1; uid <= 2; uid++) {
                assertArrayEquals(served(uid == 1 ? BOUNCE : QUESTION), Files.readAllBytes(archive.resolve(uid + ".eml")));
            }
        }
        // The postmaster gets the one mail for a human being, with every header that it came with.
        assertFalse(Files.exists(umHome.resolve("outbox/1.eml")));
        try (InputStream in = Files.newInputStream(umHome.resolve("outbox/2.eml"))) {
            MimeMessage forwarded = new MimeMessage(Session.getInstance(new Properties()), in);
            assertEquals("Fwd: Gr\u00fc\u00dfe", forwarded.getSubject());
            assertEquals("postmaster@example.com", forwarded.getAllRecipients()[0].toString());
            Multipart parts = (Multipart) forwarded.getContent();
            assertTrue(parts.getBodyPart(0).getContent().toString().contains("2026-01-02T10:00:00Z"));
            assertTrue(parts.getBodyPart(1).isMimeType("message/rfc822"));
            assertArrayEquals(served(QUESTION), parts.getBodyPart(1).getInputStream().readAllBytes());
        }
    }

    @Test
    void umsBuiltInReaderGoesOnWhereItIsWantedOrTheLibraryDoesNotLoad() throws Exception {
        String builtIn = new ChildJvm.Output(0, "built-in\tUM's own reader polls the mailbox\n", "").toString();
        for (String option : List.of("-Dum.bounce.reader=built-in", "-D" + NativeLibrary.PROPERTY + "=/nowhere.so")) {
            assertEquals(builtIn, jvm("javax").with(option).run("BounceLoop", directory.toString(), directory.toString()).toString());
        }
    }

    @Test
    void thePostmasterIsToldWhyNothingIsReadAnyMore() throws Exception {
        Path umHome = Files.createDirectories(directory.resolve("um"));
        try (Standin standin = new Standin(directory, scenario().replace("\"default_folders\"", "\"permitted\": [], \"default_folders\""))) {
            writeProperties(standin, umHome);
            ChildJvm.Output output = jvm("javax").run("BounceLoop", umHome.toString(), directory.toString());
            assertEquals(1, output.code, output.toString());
            assertTrue(output.out.startsWith("failed\t"), output.toString());
        }
        try (InputStream in = Files.newInputStream(umHome.resolve("outbox/health.eml"))) {
            MimeMessage report = new MimeMessage(Session.getInstance(new Properties()), in);
            assertEquals("Bounce mailbox " + Standin.USER + "/INBOX: FAILING", report.getSubject());
            assertTrue(report.getContent().toString().contains("Add-MailboxPermission"), report.getContent().toString());
        }
    }

    private ChildJvm jvm(String api) throws IOException {
        // The two implementations have classes of the same names.
        return new ChildJvm(directory).with("-Xcheck:jni", "-Dfile.encoding=UTF-8").classPath(compiled(api), api.equals("javax") ? "angus" : "javax.mail");
    }

    /** The example's classes; with {@code jakarta} in its imports, where that is wanted, and no other change. */
    private Path compiled(String api) throws IOException {
        Path classes = Path.of("target", "examples-" + api).toAbsolutePath();
        JavaCompiler compiler = ToolProvider.getSystemJavaCompiler();
        if (compiler == null) {
            assumeTrue(Files.exists(classes.resolve("BounceLoop.class")), "this JVM has no compiler");
            return classes;
        }
        Path sources = Files.createDirectories(directory.resolve(api));
        for (String name : List.of("BounceLoop.java", "Classifier.java")) {
            String source = Files.readString(Path.of("examples", name));
            Files.writeString(sources.resolve(name), source.replace("import javax.mail.", "import " + api + ".mail."));
        }
        Files.createDirectories(classes);
        int code = compiler.run(null, null, null, "--release", "11", "-Xlint:all", "-Xlint:-processing,-path,-classfile", "-Werror",
                "-cp", System.getProperty("java.class.path"), "-d", classes.toString(),
                sources.resolve("BounceLoop.java").toString(), sources.resolve("Classifier.java").toString());
        assertEquals(0, code);
        return classes;
    }

    private static String scenario() {
        StringBuilder mails = new StringBuilder();
        for (String mail : List.of(BOUNCE, QUESTION)) {
            mails.append(mails.length() == 0 ? "" : ", ").append("{\"base64\": \"")
                    .append(Base64.getEncoder().encodeToString(served(mail)))
                    .append("\", \"internal_date\": \"02-Jan-2026 10:00:00 +0000\"}");
        }
        return Standin.of("{\"user\": \"" + Standin.USER + "\", \"default_folders\": true, \"folders\": [{\"name\": \"INBOX\", \"mails\": ["
                + mails + "]}]}", "");
    }

    private static byte[] served(String mail) {
        return mail.replace("\n", "\r\n").getBytes(StandardCharsets.UTF_8);
    }

    private static void writeProperties(Standin standin, Path umHome) throws IOException {
        StringBuilder text = new StringBuilder("cmsbs.bounce.debug = true\ncmsbs.lang = en\n");
        standin.settings().forEach((key, value) -> text.append(key).append(" = \"").append(value).append("\"\n"));
        Files.createDirectories(umHome.resolve("cmsbs-conf"));
        Files.writeString(umHome.resolve("cmsbs-conf/cmsbs.properties"), text);
    }
}
