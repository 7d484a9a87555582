package um.imap.oauth2;

import static org.junit.jupiter.api.Assertions.assertDoesNotThrow;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotSame;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.api.io.TempDir;

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
            assertFails(MailboxException.Kind.CLOSED, () -> Native.next(mailbox, 1, new long[5], new String[1]));
            assertFails(MailboxException.Kind.CLOSED, () -> Native.settle(mailbox, 1, 1, 0));
            assertFails(MailboxException.Kind.CLOSED, () -> Native.move(mailbox, 1, 1, "folder"));
            assertFails(MailboxException.Kind.CLOSED, () -> Native.delete(mailbox, 1, 1));
            assertFails(MailboxException.Kind.CLOSED, () -> Native.flush(mailbox));
            assertFails(MailboxException.Kind.CLOSED, () -> Native.health(mailbox, new long[8]));
            assertFails(MailboxException.Kind.CLOSED, () -> Native.check(mailbox, null, new String[1][]));
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
        assertThrows(MailboxException.class, () -> Native.trust(null, null));
        assertThrows(MailboxException.class, () -> Native.openSettings(null, null, null));
        assertFails(MailboxException.Kind.USAGE, () -> Native.openSettings(null, new String[] {"a", null}, null));
        assertFails(MailboxException.Kind.USAGE, () -> Native.openUmHome(null, null, null));
        assertFails(MailboxException.Kind.USAGE, () -> Native.move(1, 1, 1, null));
    }

    /** As in a Tomcat with the jar in several web applications, or with one that is stopped. */
    @Test
    void theContextClassLoaderDoesNotMatter(@TempDir Path directory) throws Exception {
        new ChildJvm(directory).with("-Xcheck:jni").runSilently(Loaders.class);
    }

    static final class Loaders {
        public static void main(String[] arguments) throws Exception {
            NativeLibrary.INSTANCE.load(null);
            List<String> settings = new ArrayList<>();
            ExampleSettings.oauth2().forEach((key, value) -> settings.addAll(List.of(key, value)));
            long mailbox = Native.openSettings(null, settings.toArray(new String[0]), null);
            URL ours = MailboxException.class.getProtectionDomain().getCodeSource().getLocation();
            ClassLoader other = new URLClassLoader(new URL[] {ours}, null);
            assertNotSame(MailboxException.class, other.loadClass(MailboxException.class.getName()));
            ClassLoader stopped = new ClassLoader(null) {
                @Override
                public Class<?> loadClass(String name) {
                    throw new IllegalStateException("this web application was stopped");
                }
            };
            for (ClassLoader context : new ClassLoader[] {stopped, other, null}) {
                Thread.currentThread().setContextClassLoader(context);
                assertFails(MailboxException.Kind.CLOSED, () -> Native.fetch(0));
                // An exception of the JVM's that is caught on the native side.
                assertFails(MailboxException.Kind.INTERNAL, () -> Native.health(mailbox, new long[0]));
            }
        }
    }

    /** Whoever declares another one must call it here, so that it is known to be linked and what it does with nothing. */
    @Test
    void everyNativeMethodIsLinkedAndDefinedForWhatWasNeverGiven() throws Throwable {
        Map<String, Executable> calls = new TreeMap<>();
        calls.put("version", () -> assertEquals(NativeLibrary.version(Native.class), Native.version()));
        calls.put("target", () -> assertTrue(Native.target().contains("-"), Native.target()));
        calls.put("prepare", Native::prepare);
        calls.put("trust", () -> assertThrows(MailboxException.class, () -> Native.trust(null, null)));
        calls.put("proxy", () -> Native.proxy(null, null, null));
        calls.put("language", () -> assertFails(MailboxException.Kind.USAGE, () -> Native.language(null)));
        calls.put("keys", () -> assertTrue(List.of(Native.keys(null)).contains("cmsbs.mail.imap.server")));
        calls.put("openSettings", () -> assertFails(MailboxException.Kind.CONFIGURATION,
                () -> Native.openSettings(null, new String[0], null)));
        calls.put("openUmHome", () -> assertFails(MailboxException.Kind.USAGE, () -> Native.openUmHome(null, null, null)));
        calls.put("renewBySettings", () -> assertFails(MailboxException.Kind.CONFIGURATION,
                () -> Native.renewBySettings(0, null, new String[0])));
        calls.put("renewByUmHome", () -> assertFails(MailboxException.Kind.USAGE, () -> Native.renewByUmHome(0, null, null)));
        calls.put("name", () -> assertFails(MailboxException.Kind.CLOSED, () -> Native.name(0)));
        calls.put("fetch", () -> assertFails(MailboxException.Kind.CLOSED, () -> Native.fetch(0)));
        calls.put("next", () -> assertFails(MailboxException.Kind.CLOSED, () -> Native.next(0, 0, new long[5], new String[1])));
        calls.put("read", () -> assertFails(MailboxException.Kind.CLOSED, () -> Native.read(0, 0, new byte[1], 0, 1)));
        calls.put("release", () -> Native.release(0));
        calls.put("settle", () -> assertFails(MailboxException.Kind.CLOSED, () -> Native.settle(0, 1, 1, 0)));
        calls.put("move", () -> assertFails(MailboxException.Kind.CLOSED, () -> Native.move(0, 1, 1, "folder")));
        calls.put("delete", () -> assertFails(MailboxException.Kind.CLOSED, () -> Native.delete(0, 1, 1)));
        calls.put("flush", () -> assertFails(MailboxException.Kind.CLOSED, () -> Native.flush(0)));
        calls.put("health", () -> assertFails(MailboxException.Kind.CLOSED, () -> Native.health(0, new long[8])));
        calls.put("check", () -> assertFails(MailboxException.Kind.CLOSED, () -> Native.check(0, new String[0], new String[1][])));
        calls.put("close", () -> Native.close(0));
        calls.put("log", () -> assertNull(Native.log(0)));

        Set<String> declared = new TreeSet<>();
        for (Method method : Native.class.getDeclaredMethods()) {
            if (Modifier.isNative(method.getModifiers())) {
                assertTrue(declared.add(method.getName()), method + " is overloaded");
            }
        }
        assertEquals(declared, calls.keySet());
        for (Executable call : calls.values()) {
            call.execute();
        }
    }

    private static void assertFails(MailboxException.Kind kind, Executable call) {
        MailboxException e = assertThrows(MailboxException.class, call);
        assertEquals(kind, e.kind(), e.getMessage());
    }
}
