package um.imap.oauth2;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.util.List;
import java.util.Locale;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

class OutcomeTest {
    @Test
    void ordinalsAreThoseOfTheNativeSide() throws IOException {
        String table = Sources.between(Sources.rust("src/mailbox/message.rs"), "const ALL", "];");
        List<String> rust = Sources.all("Outcome::(\\w+)", table).stream()
                .map(name -> name.toUpperCase(Locale.ROOT)).collect(Collectors.toList());
        List<String> java = Stream.of(Outcome.values())
                .map(outcome -> outcome.name().replace("_", "")).collect(Collectors.toList());
        assertEquals(rust, java);
    }
}
