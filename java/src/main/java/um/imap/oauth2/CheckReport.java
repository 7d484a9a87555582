package um.imap.oauth2;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Iterator;
import java.util.List;
import java.util.Optional;

/**
 * What a test of a mailbox found, step by step.
 *
 * <pre>{@code
 * CheckReport report = mailbox.check();
 * for (CheckReport.Step step : report.steps()) {
 *     step.failure().ifPresent(failure -> log.error(step.title() + ": " + failure.getMessage()));
 *     step.warnings().forEach(warning -> log.warn(step.title() + ": " + warning));
 * }
 * }</pre>
 */
public final class CheckReport {
    /**
     * The whole of it in a word, the worst last.
     *
     * <pre>{@code
     * boolean mailCanBeRead = mailbox.check().outcome().compareTo(CheckReport.Outcome.WARNINGS) <= 0;
     * }</pre>
     */
    // In step with Outcome in Rust.
    public enum Outcome {
        /** Nothing is wrong. */
        WELL,
        /** Mail can be fetched, but something needs attention. */
        WARNINGS,
        /** A step failed, and may succeed at another time. */
        TRY_LATER,
        /** A step failed, and fails again until somebody changes something. */
        FAILED
    }

    /**
     * How a step ended.
     *
     * <pre>{@code
     * for (CheckReport.Step step : mailbox.check().steps()) {
     *     if (step.status() == CheckReport.Status.NOT_REACHED) {
     *         log.info(step.title() + " could not be tried");
     *     }
     * }
     * }</pre>
     */
    // In step with Status in Rust.
    public enum Status {
        /** All is well. */
        DONE,
        /** See {@link Step#warnings()}. */
        WARNING,
        /** See {@link Step#failure()}. */
        FAILED,
        /** It needs a step that failed. */
        NOT_REACHED
    }

    private final Outcome outcome;
    private final String text;
    private final String json;
    private final List<Step> steps;

    /**
     * In step with {@code check} in {@code src/jni/mod.rs}.
     *
     * @param texts outcome, text, JSON; for each step name, connection, title, status, milliseconds, then twice a number
     *     and so many lines: what was seen, and the warnings
     * @param failures for each step its failure or null
     */
    CheckReport(String[] texts, Throwable[] failures) {
        Iterator<String> next = Arrays.asList(texts).iterator();
        outcome = Outcome.valueOf(next.next());
        text = next.next();
        json = next.next();
        List<Step> steps = new ArrayList<>();
        for (Throwable failure : failures) {
            steps.add(new Step(next, (MailboxException) failure));
        }
        this.steps = List.copyOf(steps);
    }

    /**
     * The whole of it in a word.
     *
     * @return the worst of the steps
     */
    public Outcome outcome() {
        return outcome;
    }

    /**
     * The steps, in the order in which they were taken.
     *
     * @return the steps
     */
    public List<Step> steps() {
        return steps;
    }

    /**
     * All of it for programs, as {@code um-imap-oauth2 check --json} prints it ({@code docs/check.schema.json}).
     *
     * @return JSON
     */
    public String toJson() {
        return json;
    }

    /** All of it for people, in the language of {@code cmsbs.lang}, on several lines. */
    @Override
    public String toString() {
        return text;
    }

    /**
     * One step.
     *
     * <pre>{@code
     * for (CheckReport.Step step : mailbox.check().steps()) {
     *     log.info(step.title() + ": " + step.status() + " after " + step.duration().toMillis() + " ms");
     *     step.seen().forEach(line -> log.info(line));
     * }
     * }</pre>
     */
    public static final class Step {
        private final String name;
        private final String connection;
        private final String title;
        private final Status status;
        private final Duration duration;
        private final List<String> seen;
        private final List<String> warnings;
        private final MailboxException failure;

        private Step(Iterator<String> next, MailboxException failure) {
            this.name = next.next();
            this.connection = next.next();
            this.title = next.next();
            this.status = Status.valueOf(next.next());
            this.duration = Duration.ofMillis(Long.parseLong(next.next()));
            this.seen = lines(next);
            this.warnings = lines(next);
            this.failure = failure;
        }

        private static List<String> lines(Iterator<String> next) {
            List<String> lines = new ArrayList<>();
            for (int left = Integer.parseInt(next.next()); left > 0; left--) {
                lines.add(next.next());
            }
            return List.copyOf(lines);
        }

        /**
         * The name for programs: {@code configuration}, {@code files}, {@code proxy}, {@code dns}, {@code tcp}, {@code tls},
         * {@code token}, {@code claims}, {@code greeting}, {@code login}, {@code namespace}, {@code inbox}, {@code junk},
         * {@code folders}, {@code deletion}, {@code clock} or {@code expiry}.
         *
         * @return the name
         */
        public String name() {
            return name;
        }

        /**
         * Which connection it is about: {@code token} (to the token endpoint) or {@code imap} (to the mail server).
         *
         * @return the connection; empty where it is about none, or about the mailbox as a whole
         */
        public Optional<String> connection() {
            return connection.isEmpty() ? Optional.empty() : Optional.of(connection);
        }

        /**
         * The name for people.
         *
         * @return the name in the configured language, with the host that it is about
         */
        public String title() {
            return title;
        }

        /**
         * How it ended.
         *
         * @return the status
         */
        public Status status() {
            return status;
        }

        /**
         * How long it took.
         *
         * @return the time; zero where it was not reached
         */
        public Duration duration() {
            return duration;
        }

        /**
         * What was seen: the server's words, addresses, numbers of mails.
         *
         * @return a line each
         */
        public List<String> seen() {
            return seen;
        }

        /**
         * What is not well and does not stop the mailbox from being read, and what to do about it.
         *
         * @return a paragraph each
         */
        public List<String> warnings() {
            return warnings;
        }

        /**
         * Why it failed, with cause and remedy. It was not thrown.
         *
         * @return the failure, if it failed
         */
        public Optional<MailboxException> failure() {
            return Optional.ofNullable(failure);
        }

        /** Title and status. */
        @Override
        public String toString() {
            return title + ": " + status;
        }
    }
}
