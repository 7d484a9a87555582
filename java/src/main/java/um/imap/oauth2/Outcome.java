package um.imap.oauth2;

/**
 * What a mail turned out to be, and so where it goes.
 *
 * <table>
 * <caption>Where a settled mail goes</caption>
 * <tr><th>outcome</th><th>{@code cmsbs.bounce.debug = true}</th><th>{@code false} or absent</th></tr>
 * <tr><td>{@link #HARDBOUNCE}, {@link #SOFTBOUNCE}, {@link #AUTORESPOND}, {@link #UNSUBSCRIBE}, {@link #SPAM}</td>
 *     <td>to {@code cmsbs.mail.imap.folder.<kind>}, else to {@code cmsbs.mail.imap.folder.debug}</td><td>deleted</td></tr>
 * <tr><td>{@link #HANDLED}</td><td>to {@code cmsbs.mail.imap.folder.debug}</td><td>deleted</td></tr>
 * <tr><td>{@link #UNRECOGNISED}</td><td>to {@code cmsbs.mail.imap.folder.error}</td>
 *     <td>to {@code cmsbs.mail.imap.folder.error}</td></tr>
 * <tr><td>{@link #KEEP}</td><td>stays in the inbox</td><td>stays in the inbox</td></tr>
 * <tr><td>{@link #KEEP_READ}</td><td>stays in the inbox, marked as read</td><td>stays in the inbox, marked as read</td></tr>
 * </table>
 *
 * <pre>{@code
 * Outcome outcome = isHardBounce(message) ? Outcome.HARDBOUNCE : Outcome.UNRECOGNISED;
 * mailbox.settle(mail, outcome);
 * }</pre>
 */
// The native side knows a constant by its ordinal: in step with Outcome::ALL in src/mailbox/message.rs, which OutcomeTest
// checks.
public enum Outcome {
    /** The address does not exist, or does not take mail any more. */
    HARDBOUNCE,
    /** The mail could not be delivered for now. */
    SOFTBOUNCE,
    /** An automatic reply. */
    AUTORESPOND,
    /** The recipient does not want any more mail. */
    UNSUBSCRIBE,
    /** Spam. */
    SPAM,
    /** Any other mail that has been dealt with. */
    HANDLED,
    /** Not recognised, or not matched to a recipient. */
    UNRECOGNISED,
    /** Stays where it is, its flags untouched; the next fetch hands it out again. */
    KEEP,
    /** Stays where it is, marked as read; the next fetch hands it out again only if read mail is processed too. */
    KEEP_READ
}
