import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.util.Locale;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import javax.mail.MessagingException;
import javax.mail.Multipart;
import javax.mail.Part;
import javax.mail.internet.MimeMessage;
import um.imap.oauth2.Outcome;

/** Says what a mail is; small, where UM's own evaluation is large. */
final class Classifier {
    /** A field of a delivery status report (RFC 3464 §2.3.4). */
    private static final Pattern STATUS_FIELD = status("^Status:[ \t]*", Pattern.MULTILINE | Pattern.CASE_INSENSITIVE);
    /** A server's answer with an enhanced status code (RFC 2034), as it is quoted in texts for people. */
    private static final Pattern SMTP_ANSWER = status("\\b[45]\\d\\d[ -]", 0);
    /** RFC 3463: what is wrong with the address, and a mailbox that is closed. All else can pass. */
    private static final Pattern ADDRESS_IS_GONE = Pattern.compile("5\\.1\\.\\d+|5\\.2\\.1");
    private static final Pattern UNSUBSCRIBE = Pattern.compile("(unsubscribe|abmelden)\\b.*");

    private Classifier() {
    }

    static Outcome classify(MimeMessage message) throws MessagingException, IOException {
        if (header(message, "X-Spam-Flag").startsWith("yes")) {
            return Outcome.SPAM;
        }
        // An abuse report (RFC 5965): UM takes the recipient out, and the mail has been dealt with.
        if (header(message, "Content-Type").contains("feedback-report")) {
            return Outcome.HANDLED;
        }
        // What the mail program sends that follows the newsletter's List-Unsubscribe, or somebody by hand.
        if (UNSUBSCRIBE.matcher(String.valueOf(message.getSubject()).toLowerCase(Locale.ROOT)).matches()) {
            return Outcome.UNSUBSCRIBE;
        }
        String status = statusOf(message);
        if (status != null) {
            return ADDRESS_IS_GONE.matcher(status).matches() ? Outcome.HARDBOUNCE : Outcome.SOFTBOUNCE;
        }
        // RFC 3834. Reports of failed deliveries have it, too, and have been recognised by now.
        if (header(message, "Auto-Submitted").startsWith("auto-")) {
            return Outcome.AUTORESPOND;
        }
        return Outcome.UNRECOGNISED;
    }

    /** The enhanced status code: the report's, else the first one in the text; null: there is none. */
    private static String statusOf(Part part) throws MessagingException, IOException {
        if (part.isMimeType("multipart/*")) {
            Multipart parts = (Multipart) part.getContent();
            // The report stands behind the text, and is the better source.
            for (int i = parts.getCount() - 1; i >= 0; i--) {
                String status = statusOf(parts.getBodyPart(i));
                if (status != null) {
                    return status;
                }
            }
            return null;
        }
        boolean report = part.isMimeType("message/delivery-status");
        // The returned mail itself says nothing about its delivery.
        if (!report && !part.isMimeType("text/plain")) {
            return null;
        }
        try (InputStream content = part.getInputStream()) {
            // Status codes are ASCII, whatever the text is.
            String text = new String(content.readAllBytes(), StandardCharsets.ISO_8859_1);
            Matcher matcher = (report ? STATUS_FIELD : SMTP_ANSWER).matcher(text);
            return matcher.find() ? matcher.group("status") : null;
        }
    }

    private static String header(Part part, String name) throws MessagingException {
        String[] values = part.getHeader(name);
        return values == null ? "" : values[0].toLowerCase(Locale.ROOT);
    }

    private static Pattern status(String before, int flags) {
        return Pattern.compile(before + "(?<status>[45]\\.\\d{1,3}\\.\\d{1,3})\\b", flags);
    }
}
