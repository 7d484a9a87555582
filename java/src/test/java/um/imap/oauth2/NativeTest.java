package um.imap.oauth2;

import static org.junit.jupiter.api.Assertions.assertDoesNotThrow;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;

import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;

/** What the wrapper never does: the native methods with numbers and references that nobody was given. */
class NativeTest {
    @BeforeAll
    static void load() {
        NativeLibrary.INSTANCE.load(null);
    }

    @Test
    void aForgedMailboxIsAClosedOne() {
        for (long mailbox : new long[] {0, -1, Long.MIN_VALUE, Long.MAX_VALUE}) {
            assertFails(MailboxException.Kind.CLOSED, () -> Native.name(mailbox));
            assertFails(MailboxException.Kind.CLOSED, () -> Native.fetch(mailbox));
            assertFails(MailboxException.Kind.CLOSED, () -> Native.next(mailbox, 1, new long[5], new String[2]));
            assertFails(MailboxException.Kind.CLOSED, () -> Native.settle(mailbox, 1, 1, 0));
            assertFails(MailboxException.Kind.CLOSED, () -> Native.move(mailbox, 1, 1, "folder"));
            assertFails(MailboxException.Kind.CLOSED, () -> Native.delete(mailbox, 1, 1));
            assertFails(MailboxException.Kind.CLOSED, () -> Native.flush(mailbox));
            assertFails(MailboxException.Kind.CLOSED, () -> Native.health(mailbox, new long[8]));
            assertFails(MailboxException.Kind.CLOSED, () -> Native.check(mailbox, new String[1][]));
            assertDoesNotThrow(() -> Native.close(mailbox));
            assertNull(Native.log(mailbox));
        }
    }

    @Test
    void aForgedFileIsAClosedMail() {
        for (long file : new long[] {0, -1, Long.MAX_VALUE}) {
            assertFails(MailboxException.Kind.CLOSED, () -> Native.read(file, 0, new byte[1], 0, 1));
            assertDoesNotThrow(() -> Native.release(file));
        }
    }

    @Test
    void numbersThatAreNoMailsAndNoOutcomesAreRefused() {
        assertFails(MailboxException.Kind.USAGE, () -> Native.settle(1, -1, 1, 0));
        assertFails(MailboxException.Kind.USAGE, () -> Native.delete(1, 1, 1L << 32));
        assertFails(MailboxException.Kind.USAGE, () -> Native.settle(1, 1, 1, Outcome.values().length));
        assertFails(MailboxException.Kind.USAGE, () -> Native.settle(1, 1, 1, -1));
    }

    @Test
    void aNullReferenceIsAnException() {
        assertThrows(MailboxException.class, () -> Native.trust(null));
        assertThrows(MailboxException.class, () -> Native.openSettings(null, null, null));
        assertFails(MailboxException.Kind.USAGE, () -> Native.openSettings(null, new String[] {"a", null}, null));
        assertFails(MailboxException.Kind.USAGE, () -> Native.openUmHome(null, null, null));
        assertFails(MailboxException.Kind.USAGE, () -> Native.move(1, 1, 1, null));
    }

    private static void assertFails(MailboxException.Kind kind, Executable call) {
        MailboxException e = assertThrows(MailboxException.class, call);
        assertEquals(kind, e.kind(), e.getMessage());
    }
}
