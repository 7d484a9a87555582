package um.imap.oauth2;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.lang.System.Logger.Level;
import java.util.ArrayList;
import java.util.List;
import java.util.ResourceBundle;
import org.junit.jupiter.api.Test;

class LogTest {
    private static final String[] RECORDS = {"DEBUG", "C: A1 NOOP", "INFO", "connecting again", "WARNING", "throttled", "ERROR", "broken"};

    @Test
    void theLoggerIsAskedForItsLevelOnceForAllThereIsToSay() {
        Logger logger = new Logger(Level.DEBUG);
        Log.deliver(RECORDS, logger);
        assertEquals(List.of("DEBUG C: A1 NOOP", "INFO connecting again", "WARNING throttled", "ERROR broken"), logger.logged);
        assertEquals(1, logger.asked);
    }

    @Test
    void whatIsBelowTheLoggersLevelIsNotGivenToIt() {
        Logger logger = new Logger(Level.WARNING);
        Log.deliver(RECORDS, logger);
        assertEquals(List.of("WARNING throttled", "ERROR broken"), logger.logged);
        Logger off = new Logger(Level.OFF);
        Log.deliver(RECORDS, off);
        assertEquals(List.of(), off.logged);
    }

    @Test
    void loggersAreNamedAfterThePackage() {
        assertEquals("um.imap.oauth2.library", Log.LIBRARY.getName());
        assertEquals("um.imap.oauth2.mailbox", Log.MAILBOX.getName());
    }

    private static final class Logger implements System.Logger {
        final List<String> logged = new ArrayList<>();
        int asked;
        private final Level lowest;

        Logger(Level lowest) {
            this.lowest = lowest;
        }

        @Override
        public String getName() {
            return "test";
        }

        @Override
        public boolean isLoggable(Level level) {
            asked++;
            return level != Level.OFF && level.compareTo(lowest) >= 0;
        }

        @Override
        public void log(Level level, ResourceBundle bundle, String text, Throwable thrown) {
            logged.add(level + " " + text);
        }

        @Override
        public void log(Level level, ResourceBundle bundle, String format, Object... parameters) {
            logged.add(level + " " + format);
        }
    }
}
