package um.imap.oauth2;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.ObjectInputStream;
import java.io.ObjectOutputStream;
import java.lang.invoke.MethodType;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

class MailboxExceptionTest {
    @Test
    void kindsAreThoseOfTheNativeSideAndLibrary() throws IOException {
        String names = Sources.between(Sources.rust("src/failure.rs"), "impl Kind {", "fn retry");
        List<String> rust = Sources.all("Kind::\\w+ => \"(\\w+)\"", names);
        rust.add("LIBRARY");
        assertEquals(rust, Stream.of(MailboxException.Kind.values()).map(Enum::name).collect(Collectors.toList()));
    }

    @Test
    void theNativeSideCallsAConstructorThatIsThere() throws IOException {
        List<String> signatures = Sources.all("\"(\\(Ljava/lang/String;[^\"]*)\"", Sources.rust("src/jni/exception.rs"));
        List<String> constructors = Stream.of(MailboxException.class.getDeclaredConstructors())
                .map(constructor -> MethodType.methodType(void.class, constructor.getParameterTypes()).toMethodDescriptorString())
                .collect(Collectors.toList());
        assertEquals(1, signatures.size());
        assertTrue(constructors.containsAll(signatures), constructors.toString());
    }

    @Test
    void everyStepIsDocumented() throws IOException {
        String names = Sources.between(Sources.rust("src/failure.rs"), "impl Step {", "impl fmt::Display for Step");
        String documentation = Sources.rust("java/src/main/java/um/imap/oauth2/MailboxException.java");
        for (String step : Sources.all("Step::\\w+ => \"(\\w+)\"", names)) {
            assertTrue(documentation.contains("{@code " + step + "}"), step);
        }
    }

    @Test
    void aFailureReadsAsOneParagraphAndInParts() {
        Exception source = new IllegalStateException();
        MailboxException e = new MailboxException("connect", "NETWORK", "connection refused", "cmsbs.mail.imap.server",
                "Nothing listens there.", "Correct the server.", true, 1500, "connect-refused", source);
        assertEquals("connect: connection refused. [cmsbs.mail.imap.server] Nothing listens there. Correct the server.",
                e.getMessage());
        assertEquals("connect", e.step());
        assertEquals(MailboxException.Kind.NETWORK, e.kind());
        assertEquals("connection refused", e.observed());
        assertEquals(Optional.of("cmsbs.mail.imap.server"), e.key());
        assertEquals("Nothing listens there.", e.causeText());
        assertEquals("Correct the server.", e.remedy());
        assertTrue(e.retryable());
        assertEquals(Optional.of(Duration.ofMillis(1500)), e.retryAfter());
        assertEquals(Optional.of("connect-refused"), e.id());
        assertSame(source, e.getCause());
    }

    @Test
    void whatWasObservedIsToldFromWhatFollowsByItsLastCharacter() throws IOException {
        assertEquals("connect: refused. Wait.", saying("refused"));
        for (char end : MailboxException.ENDS.toCharArray()) {
            assertEquals("connect: refused" + end + " Wait.", saying("refused" + end));
        }
        String ends = Sources.between(Sources.rust("src/failure.rs"), "const ENDS: ", ";\n");
        assertEquals(Sources.all("'(.)'", ends),
                MailboxException.ENDS.chars().mapToObj(Character::toString).collect(Collectors.toList()));
    }

    private static String saying(String observed) {
        return new MailboxException("connect", "NETWORK", observed, null, "", "Wait.", true, -1, null, null).getMessage();
    }

    @Test
    void whatIsNotKnownIsEmpty() {
        MailboxException e = new MailboxException("call", "CLOSED", "the mailbox is closed", null, "", "", false, -1, null, null);
        assertEquals("call: the mailbox is closed", e.getMessage());
        assertEquals(Optional.empty(), e.key());
        assertFalse(e.retryable());
        assertEquals(Optional.empty(), e.retryAfter());
        assertEquals(Optional.empty(), e.id());
        assertNull(e.getCause());
    }

    @Test
    void canBeSerialized() throws Exception {
        MailboxException e = new MailboxException("connect", "NETWORK", "refused", "key", "", "", true, 5, null, null);
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        try (ObjectOutputStream out = new ObjectOutputStream(bytes)) {
            out.writeObject(e);
        }
        try (ObjectInputStream in = new ObjectInputStream(new ByteArrayInputStream(bytes.toByteArray()))) {
            MailboxException read = (MailboxException) in.readObject();
            assertEquals(e.getMessage(), read.getMessage());
            assertEquals(e.retryAfter(), read.retryAfter());
        }
    }
}
