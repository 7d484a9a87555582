package um.imap.oauth2;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.lang.System.Logger.Level;
import java.util.ArrayList;
import java.util.List;
import java.util.ResourceBundle;
import java.util.function.Consumer;
import java.util.logging.LogRecord;
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

    @Test
    void whateverTheLogFunctionThrowsTheMailboxIsOpenedAndClosedAndTheRestIsSaid() {
        List<String> logged = new ArrayList<>();
        List<String> told = new ArrayList<>();
        Throwable[] thrown = {new NoClassDefFoundError("org/slf4j/Logger"), new IOException("disk full"), new StackOverflowError()};
        java.util.logging.Handler handler = handler(record -> logged.add(record.getMessage()));
        under(Log.MAILBOX, handler, () -> {
            for (Throwable each : thrown) {
                BounceMailbox.builder().settings(ExampleSettings.oauth2()).log((level, text) -> {
                    told.add(text);
                    LogTest.<RuntimeException>sneak(each);
                }).open().close();
            }
        });
        assertTrue(told.size() >= thrown.length, told.toString());
        assertEquals(told, logged);
    }

    @Test
    void aHandlerBelowTheLoggerThatThrowsIsInNobodysWay() {
        List<String> told = new ArrayList<>();
        java.util.logging.Handler handler = handler(record -> {
            told.add(record.getMessage());
            throw new IllegalStateException("disk full");
        });
        under(Log.MAILBOX, handler, () -> BounceMailbox.builder().settings(ExampleSettings.oauth2()).open().close());
        assertFalse(told.isEmpty());
    }

    /** What the logger for what goes wrong beside the mailboxes is given during the calls. */
    static List<String> librarySays(Runnable calls) {
        List<String> logged = new ArrayList<>();
        under(Log.LIBRARY, handler(record -> logged.add(record.getMessage())), calls);
        return logged;
    }

    /** With a handler below a logger, and none besides. */
    private static void under(System.Logger of, java.util.logging.Handler handler, Runnable calls) {
        java.util.logging.Logger both = java.util.logging.Logger.getLogger("um.imap.oauth2");
        java.util.logging.Logger logger = java.util.logging.Logger.getLogger(of.getName());
        logger.addHandler(handler);
        both.setUseParentHandlers(false);
        try {
            calls.run();
        } finally {
            both.setUseParentHandlers(true);
            logger.removeHandler(handler);
        }
    }

    private static java.util.logging.Handler handler(Consumer<LogRecord> consumer) {
        return new java.util.logging.Handler() {
            @Override
            public void publish(LogRecord record) {
                consumer.accept(record);
            }

            @Override
            public void flush() {
            }

            @Override
            public void close() {
            }
        };
    }

    /** As Kotlin, Groovy and Lombok do: a checked exception where none is declared. */
    @SuppressWarnings("unchecked")
    private static <T extends Throwable> void sneak(Throwable thrown) throws T {
        throw (T) thrown;
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
