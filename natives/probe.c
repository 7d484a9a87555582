/* probe LIBRARY VERSION: loads the library as a JVM does and calls it, where there is no JVM to do so: JNI_OnLoad, version() and target(), which
   make strings of Java. Prints the target; exits with 0 only if all that went well and the version is the one named. */
#include <jni.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef _WIN32
#include <windows.h>
#define OPEN(path) ((void *)LoadLibraryA(path))
#define FIND(library, name) ((void *)GetProcAddress((HMODULE)(library), name))
#define WHY "LoadLibrary failed"
#else
#include <dlfcn.h>
#define OPEN(path) dlopen(path, RTLD_LAZY)
#define FIND(library, name) dlsym(library, name)
#define WHY dlerror()
#endif

static struct JNINativeInterface_ functions;
static struct JNIInvokeInterface_ invocation;
static const struct JNINativeInterface_ *env = &functions;
static const struct JNIInvokeInterface_ *vm = &invocation;

static void fail(const char *what, const char *why) {
    printf("%s: %s\n", what, why ? why : "not there");
    fflush(stdout);
    exit(1);
}

static void unexpected(void) { fail("JNI", "the library called a function that this program does not have"); }

/* What the library needs of a JVM for a string: a reference is the address of its characters. */
static jstring JNICALL new_string_utf(JNIEnv *e, const char *characters) {
    char *copy = malloc(strlen(characters) + 1);
    (void)e;
    return (jstring)strcpy(copy, characters);
}
/* It looks up java.lang.Class and java.lang.String, and makes sure that it was called with a class; any address will do here. */
static jclass JNICALL find_class(JNIEnv *e, const char *name) { (void)e; return (jclass)name; }
static jobject JNICALL same(JNIEnv *e, jobject object) { (void)e; return object; }
static void JNICALL forget(JNIEnv *e, jobject object) { (void)e; (void)object; }
static jboolean JNICALL is_instance(JNIEnv *e, jobject object, jclass class) { (void)e; (void)object; (void)class; return JNI_TRUE; }
static jmethodID JNICALL method_id(JNIEnv *e, jclass class, const char *name, const char *signature) {
    (void)e; (void)class; (void)signature;
    return (jmethodID)name;
}
static jint JNICALL frame(JNIEnv *e, jint capacity) { (void)e; (void)capacity; return JNI_OK; }
static jboolean JNICALL no_exception(JNIEnv *e) { (void)e; return JNI_FALSE; }
static jthrowable JNICALL no_throwable(JNIEnv *e) { (void)e; return NULL; }
static jint JNICALL version_of_jni(JNIEnv *e) { (void)e; return JNI_VERSION_10; }
static jint JNICALL java_vm(JNIEnv *e, JavaVM **found) { (void)e; *found = (JavaVM *)&vm; return JNI_OK; }
static jint JNICALL env_of_thread(JavaVM *v, void **found, jint version) { (void)v; (void)version; *found = &env; return JNI_OK; }

static const char *call(void *library, const char *name) {
    jstring (JNICALL *method)(JNIEnv *, jclass) = FIND(library, name);
    jstring answer;
    if (!method) fail(name, WHY);
    answer = method((JNIEnv *)&env, (jclass)"um.imap.oauth2.Native");
    if (!answer) fail(name, "returned null");
    return (const char *)answer;
}

int main(int count, char **arguments) {
    void *library;
    jint (JNICALL *on_load)(JavaVM *, void *);
    void (**slot)(void);

    if (count != 3) fail("usage", "probe LIBRARY VERSION");
    for (slot = (void (**)(void))&functions; (void *)slot < (void *)(&functions + 1); slot++) *slot = unexpected;
    for (slot = (void (**)(void))&invocation; (void *)slot < (void *)(&invocation + 1); slot++) *slot = unexpected;
    functions.GetVersion = version_of_jni;
    functions.GetJavaVM = java_vm;
    functions.ExceptionCheck = no_exception;
    functions.ExceptionOccurred = no_throwable;
    functions.FindClass = find_class;
    functions.NewGlobalRef = same;
    functions.NewLocalRef = same;
    functions.PopLocalFrame = same;
    functions.DeleteLocalRef = forget;
    functions.DeleteGlobalRef = forget;
    functions.IsInstanceOf = is_instance;
    functions.PushLocalFrame = frame;
    functions.GetMethodID = method_id;
    functions.GetStaticMethodID = method_id;
    functions.NewStringUTF = new_string_utf;
    invocation.GetEnv = env_of_thread;

    library = OPEN(arguments[1]);
    if (!library) fail(arguments[1], WHY);
    on_load = FIND(library, "JNI_OnLoad");
    if (!on_load) fail("JNI_OnLoad", WHY);
    if (on_load((JavaVM *)&vm, NULL) != JNI_VERSION_1_8) fail("JNI_OnLoad", "returned another version of JNI");
    if (strcmp(call(library, "Java_um_imap_oauth2_Native_version__"), arguments[2]) != 0)
        fail("another version", call(library, "Java_um_imap_oauth2_Native_version__"));
    printf("%s\n", call(library, "Java_um_imap_oauth2_Native_target__"));
    return 0;
}
