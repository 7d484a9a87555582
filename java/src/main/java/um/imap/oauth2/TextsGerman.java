package um.imap.oauth2;

import java.util.ListResourceBundle;

/** What the wrapper itself says, in German; a class, since a security manager can forbid to read a file. {0}, {1} … stand for values. */
final class TextsGerman extends ListResourceBundle {
    @Override
    protected Object[][] getContents() {
        return new Object[][] {
            {"library.version.observed", "Die native Bibliothek hat die Version {0} ({1}), das Jar {2}"},
            {"library.version.cause", "Eine Bibliothek einer anderen Version wurde zuerst gefunden, in der Systemeigenschaft {0} oder im java.library.path."},
            {"library.oneBuild.remedy", "Nehmen Sie Jar und Bibliothek aus demselben Build, und starten Sie die JVM neu."},
            {"library.unprepared.observed", "Die native Bibliothek kann diese JVM nicht verwenden: {0}"},
            {"library.unprepared.remedy", "Starten Sie die JVM neu. Tritt der Fehler wieder auf, melden Sie ihn mit diesem Text."},
            {"library.otherBuild.observed", "Die geladene native Bibliothek ist nicht die dieses Jars: {0}"},
            {"library.failed.observed", "Die native Bibliothek kann nicht geladen werden: {0}"},
            {"library.none.observed", "Es konnte keine native Bibliothek für {0} geladen werden ({1})."},
            {"library.none.remedy", "Geben Sie in der Systemeigenschaft {1} eine Bibliothek für {0} an."},
            {"library.denied.cause", "Diese JVM lädt native Bibliotheken nur für Code, dem es erlaubt ist (--illegal-native-access=deny, Standard in neueren JDKs)."},
            {"library.denied.remedy", "Starten Sie die JVM des UM mit --enable-native-access=ALL-UNNAMED."},
            {"library.security.cause", "Der Security Manager der JVM lässt es nicht zu."},
            {"library.security.remedy", "Erteilen Sie um-imap-oauth2.jar diese Berechtigung in der Policy der JVM."},
            {"library.noexec.cause", "{0} ist mit noexec eingehängt, daher kann von dort keine Bibliothek geladen werden."},
            {"library.noexec.remedy", "Verwenden Sie ein Arbeitsverzeichnis (oder ein anderes java.io.tmpdir), das ohne noexec eingehängt ist, oder schreiben Sie die Bibliothek an einen anderen Ort (java -jar um-imap-oauth2.jar install-native VERZEICHNIS), und geben Sie sie in der Systemeigenschaft {0} an."},
            {"library.refused.cause", "Ein anderes Konto könnte die Bibliothek dort austauschen und damit die Rechte des UM erhalten: {0}."},
            {"library.refused.remedy", "Führen Sie aus: {0}"},
            {"library.unwritten.cause", "Die Bibliothek wird in das Arbeitsverzeichnis entpackt, falls es eines gibt, oder nach java.io.tmpdir. In keines von beiden kann geschrieben werden."},
            {"library.unwritten.remedy", "Geben Sie dem UM Schreibrechte für eines davon, oder schreiben Sie die Bibliothek an einen anderen Ort (java -jar um-imap-oauth2.jar install-native VERZEICHNIS), und geben Sie sie in der Systemeigenschaft {0} an."},
            {"library.platform.cause", "Es gibt nur Bibliotheken für {0}."},
            {"library.platform.remedy", "Betreiben Sie den UM mit einer 64-Bit-JVM auf einer dieser Plattformen, oder verwenden Sie weiterhin den eingebauten Leser des UM."},
            {"library.musl.cause", "Diese JVM läuft mit der C-Bibliothek musl (Alpine Linux). Eine für glibc gebaute Bibliothek kann dort nicht geladen werden, und das Jar enthält keine für musl."},
            {"library.musl.remedy", "Verwenden Sie ein Jar, das mit {0} gebaut wurde, oder geben Sie eine solche Bibliothek in der Systemeigenschaft {1} an."},
            {"library.log.refused", "Die native Bibliothek wird nicht in ein Verzeichnis entpackt, das ein anderes Konto ändern könnte: {0}. Führen Sie aus: {1}"},
            {"seen.property", "Systemeigenschaft {0}"},
            {"seen.unset", "Systemeigenschaft {0}: nicht gesetzt"},
            {"seen.noFile", "{0}: Es gibt keine Datei {1}"},
            {"seen.jar", "{0} im Jar"},
            {"seen.notInJar", "{0}: nicht vorhanden; im Jar: {1}"},
            {"seen.notOnPath", "java.library.path: {0} fehlt in {1}"},
            {"seen.fault", "{0}: {1} {2}"},
            {"jar.empty", "keine native Bibliothek"},
            {"fault.noLibrary", "ist keine Bibliothek"},
            {"fault.cut", "ist unvollständig"},
            {"fault.glibc", "wurde für die C-Bibliothek glibc gebaut, und diese JVM läuft mit musl (Alpine Linux)"},
            {"fault.musl", "wurde für die C-Bibliothek musl gebaut, und diese JVM läuft mit glibc"},
            {"directory.owner", "{0} gehört einem anderen Konto (Benutzer-ID {1}, dieses Konto hat {2})"},
            {"directory.mode", "In {0} können andere Konten schreiben (Modus {1})"},
            {"directory.noUser", "enthält keine Benutzer-ID"},
            {"usage.builder", "Der Builder braucht entweder settings oder umHome"},
            {"usage.otherMailbox", "Die Mail {0} gehört nicht zu diesem Postfach, {1}"},
            {"usage.iterated", "Ein Abruf kann nur einmal durchlaufen werden; rufen Sie fetch() erneut auf"},
            {"usage.large", "Die Mail hat {0} Bytes, mehr als ein Array in Java fasst"},
            {"usage.path", "{0} ist kein Verzeichnis des Betriebssystems"},
            {"settings.observed", "Die Settings-Funktion endete mit {0}, als sie nach {1} gefragt wurde"},
            {"settings.remedy", "Sie muss für einen Schlüssel ohne Wert null zurückgeben."},
        };
    }
}
