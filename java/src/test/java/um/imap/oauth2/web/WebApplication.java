package um.imap.oauth2.web;

import java.util.Map;
import javax.servlet.ServletContextEvent;
import javax.servlet.ServletContextListener;
import um.imap.oauth2.BounceMailbox;
import um.imap.oauth2.BounceMessage;
import um.imap.oauth2.Outcome;

/** The web application of {@code Redeployment}: opens a mailbox when it starts and reads one mail. */
public final class WebApplication implements ServletContextListener {
    private BounceMailbox mailbox;

    @Override
    @SuppressWarnings("unchecked")
    public void contextInitialized(ServletContextEvent event) {
        Map<String, String> settings = (Map<String, String>) event.getServletContext().getAttribute("settings");
        mailbox = BounceMailbox.builder().settings(settings).log((level, text) -> { }).open();
        BounceMessage mail = mailbox.fetch().iterator().next();
        mailbox.settle(mail, Outcome.KEEP);
        event.getServletContext().setAttribute("octets", mail.bytes().length);
    }

    @Override
    public void contextDestroyed(ServletContextEvent event) {
        if (event.getServletContext().getAttribute("forgetful") == null) {
            mailbox.close();
        }
    }
}
