package um.imap.oauth2;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeFalse;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.api.io.TempDir;

/** A panic of the library in a call: a JVM that must not write a word of its own. */
class PanicTest {
    /** In step with PANIC in src/jni/mod.rs. */
    private static final String IN_A_CALL = "\7panic";

    private static final String RELEASE = "no debug build of the library\n";

    @TempDir
    private Path directory;

    @Test
    void aPanicInACallIsAnExceptionWithItsPlaceAndTheEndOfTheMailboxOnly() throws Exception {
        assertWell();
    }

    private void assertWell() throws Exception {
        ChildJvm.Output output = new ChildJvm(directory).with("-Xcheck:jni").run(PanicTest.class.getName(),
                directory.toString());
        assumeFalse(output.out.equals(RELEASE), RELEASE);
        assertEquals(new ChildJvm.Output(0, "", "").toString(), output.toString());
    }

    /** Argument: a directory for its files. */
    public static void main(String[] arguments) throws IOException {
        Path directory = Path.of(arguments[0]);
        String mailboxes = Standin.mailbox(Standin.USER, 1) + ", " + Standin.mailbox("other@example.com", 1);
        try (Standin standin = new Standin(directory, Standin.of(mailboxes, ""));
                BounceMailbox other = open(standin.settings("other@example.com"), new ArrayList<>())) {
            Map<String, String> settings = standin.settings();
            settings.put("cmsbs.server.home", directory.toString());
            // The next one would carry out what is in it.
            settings.put("cmsbs.mail.imap.journal", "none");
            List<Health> told = new ArrayList<>();
            BounceMailbox mailbox = open(settings, told);
            BounceMessage mail = mailbox.fetch().iterator().next();
            inACall(mailbox, mail);
            mailbox.close();
            assertFails(MailboxException.Kind.CLOSED, mailbox::fetch);
            assertEquals(1, other.fetch().iterator().next().uid());
            try (BounceMailbox again = open(settings, told)) {
                assertEquals(1, again.fetch().iterator().next().uid());
            }
        }
    }

    private static void inACall(BounceMailbox mailbox, BounceMessage mail) {
        assertPanic(panic(() -> mailbox.move(mail, IN_A_CALL)), "src/jni/mod\\.rs");
        assertFails(MailboxException.Kind.CLOSED, () -> mailbox.settle(mail, Outcome.HANDLED));
        assertFails(MailboxException.Kind.CLOSED, mailbox::fetch);
        assertFails(MailboxException.Kind.CLOSED, mailbox::health);
    }

    private static void assertPanic(MailboxException e, String file) {
        assertEquals(MailboxException.Kind.INTERNAL, e.kind(), e.getMessage());
        assertTrue(e.observed().matches("panic at " + file + ":\\d+"), e.observed());
        assertTrue(e.causeText().contains("error in the library"), e.causeText());
        assertFalse(e.retryable(), e.getMessage());
    }

    /** What the call ends with in a debug build. In others the one is refused and the other succeeds, and there is nothing to see. */
    private static MailboxException panic(Runnable call) {
        try {
            call.run();
        } catch (MailboxException e) {
            if (e.kind() != MailboxException.Kind.USAGE) {
                return e;
            }
        }
        System.out.print(RELEASE);
        System.exit(0);
        throw new IllegalStateException();
    }

    private static BounceMailbox open(Map<String, String> settings, List<Health> told) {
        return BounceMailbox.builder().settings(settings).log((level, text) -> { }).onHealth(told::add).open();
    }

    private static void assertFails(MailboxException.Kind kind, Executable call) {
        MailboxException e = assertThrows(MailboxException.class, call);
        assertEquals(kind, e.kind(), e.getMessage());
    }
}
