package um.imap.oauth2;

import java.util.ListResourceBundle;

/** What the wrapper itself says, in English; a class, since a security manager can forbid to read a file. {0}, {1} … stand for values. */
final class TextsEnglish extends ListResourceBundle {
    @Override
    protected Object[][] getContents() {
        return new Object[][] {
            {"library.version.observed", "the native library has version {0} ({1}), the jar has {2}"},
            {"library.version.cause", "A library of another version was found first, in the system property {0} or on java.library.path."},
            {"library.oneBuild.remedy", "Take the jar and the library from one build, and restart the JVM."},
            {"library.unprepared.observed", "the native library cannot use this JVM: {0}"},
            {"library.unprepared.remedy", "Restart the JVM. If it happens again, report it with this text."},
            {"library.otherBuild.observed", "the native library that was loaded is not the one of this jar: {0}"},
            {"library.failed.observed", "the native library cannot be loaded: {0}"},
            {"library.none.observed", "no native library for {0} could be loaded ({1})."},
            {"library.none.remedy", "Name a library for {0} in the system property {1}."},
            {"library.denied.cause", "This JVM loads native libraries only for code that is allowed to (--illegal-native-access=deny, the default in newer JDKs)."},
            {"library.denied.remedy", "Start UM's JVM with --enable-native-access=ALL-UNNAMED."},
            {"library.security.cause", "The JVM's security manager does not allow it."},
            {"library.security.remedy", "Grant um-imap-oauth2.jar this permission in the JVM's policy."},
            {"library.noexec.cause", "{0} is mounted with noexec, so no library can be loaded from there."},
            {"library.noexec.remedy", "Use a work directory (or another java.io.tmpdir) that is mounted without noexec, or write the library elsewhere (java -jar um-imap-oauth2.jar install-native DIRECTORY) and name it in the system property {0}."},
            {"library.refused.cause", "Another account could replace the library there and obtain the rights of UM: {0}."},
            {"library.refused.remedy", "Run: {0}"},
            {"library.unwritten.cause", "The library is unpacked to the work directory, if there is one, or to java.io.tmpdir. Neither can be written."},
            {"library.unwritten.remedy", "Let UM write to one of them, or write the library elsewhere (java -jar um-imap-oauth2.jar install-native DIRECTORY) and name it in the system property {0}."},
            {"library.platform.cause", "There are libraries only for {0}."},
            {"library.platform.remedy", "Run UM with a 64-bit JVM on one of these platforms, or continue with UM's built-in reader."},
            {"library.musl.cause", "This JVM runs on the C library musl (Alpine Linux). A library that was built for glibc cannot be loaded there, and the jar has none for musl."},
            {"library.musl.remedy", "Use a jar that was built with {0}, or name such a library in the system property {1}."},
            {"library.log.refused", "The native library is not unpacked to a directory that another account could change: {0}. Run: {1}"},
            {"seen.property", "system property {0}"},
            {"seen.unset", "system property {0}: not set"},
            {"seen.noFile", "{0}: there is no file {1}"},
            {"seen.jar", "the jar's {0}"},
            {"seen.notInJar", "{0}: not there; the jar has {1}"},
            {"seen.notOnPath", "java.library.path: no {0} in {1}"},
            {"seen.fault", "{0}: {1} {2}"},
            {"jar.empty", "no native library"},
            {"fault.noLibrary", "is not a library"},
            {"fault.cut", "is incomplete"},
            {"fault.glibc", "was built for the C library glibc, and this JVM runs on musl (Alpine Linux)"},
            {"fault.musl", "was built for the C library musl, and this JVM runs on glibc"},
            {"directory.owner", "{0} belongs to another account (user ID {1}, this one has {2})"},
            {"directory.mode", "{0} can be written by other accounts (mode {1})"},
            {"directory.noUser", "it has no user ID"},
            {"usage.builder", "the builder needs either settings or umHome"},
            {"usage.otherMailbox", "the mail {0} does not belong to this mailbox, {1}"},
            {"usage.iterated", "a fetch can be iterated over only once; call fetch() again"},
            {"usage.large", "the mail has {0} bytes, more than an array in Java can hold"},
            {"usage.path", "{0} is not a directory of the operating system"},
            {"settings.observed", "the settings function failed with {0} when it was asked for {1}"},
            {"settings.remedy", "It must return null for a key that has no value."},
        };
    }
}
