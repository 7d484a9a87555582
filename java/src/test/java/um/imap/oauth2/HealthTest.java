package um.imap.oauth2;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.util.List;
import java.util.Locale;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

class HealthTest {
    @Test
    void statesAreThoseOfTheNativeSide() throws IOException {
        String grades = Sources.between(Sources.rust("src/mailbox/health.rs"), "pub enum Grade {", "}");
        List<String> rust = Sources.all("\n    (\\w+),", grades).stream()
                .map(name -> name.toUpperCase(Locale.ROOT)).collect(Collectors.toList());
        assertEquals(rust, Stream.of(Health.State.values()).map(Enum::name).collect(Collectors.toList()));
    }
}
