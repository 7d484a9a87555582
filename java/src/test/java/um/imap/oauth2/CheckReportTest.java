package um.imap.oauth2;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

class CheckReportTest {
    @Test
    void constantsAreThoseOfTheNativeSide() throws IOException {
        String source = Sources.rust("src/check/report.rs");
        assertEquals(Sources.all("Outcome::\\w+ => \"(\\w+)\"", Sources.between(source, "impl Outcome {", "impl Status {")),
                names(CheckReport.Outcome.values()));
        assertEquals(Sources.all("Status::\\w+ => \"(\\w+)\"", Sources.between(source, "impl Status {", "\nfn ")),
                names(CheckReport.Status.values()));
    }

    @Test
    void everyStepIsDocumented() throws IOException {
        String source = Sources.rust("src/check/report.rs");
        String documentation = Sources.rust("java/src/main/java/um/imap/oauth2/CheckReport.java");
        List<String> steps = Sources.all("Name::\\w+ => \"(\\w+)\"", Sources.between(source, "impl Name {", "fn title"));
        assertEquals(18, steps.size());
        // What only the command line does.
        steps.remove("write");
        for (String step : steps) {
            assertTrue(documentation.contains("{@code " + step + "}"), step);
        }
    }

    private static List<String> names(Enum<?>[] constants) {
        return Stream.of(constants).map(Enum::name).collect(Collectors.toList());
    }
}
