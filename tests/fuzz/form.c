/* form.c - a body of multipart/form-data, by sv_parts_of_form: a line that is the Content-Type, then the body. It reaches libmicrohttpd over a
 * pair of sockets, in a server that does nothing else. */
#include <microhttpd.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <unistd.h>

#include "serve/edit.h"
#include "tests/fuzz/fuzz.h"

enum { MOST_BODY = 1 << 16 };

static struct MHD_Daemon *server;
static const uint8_t *input;
static size_t input_size;
static bool asked;

static void read_form(struct MHD_Connection *connection) {
    sv_fault fault = {0};
    sv_parts parts;
    sv_edit edit = {0};
    char *body = malloc(input_size ? input_size : 1); /* exactly so long */
    FUZZ_EXPECT(body);
    if (input_size) memcpy(body, input, input_size);
    fuzz_begin();
    const bool read = sv_parts_of_form(&parts, connection, body, input_size, &fault);
    if (read) {
        FUZZ_EXPECT(cJSON_IsObject(parts.json) && parts.images >= 0 && parts.images <= 100);
        if (sv_edit_measure(&edit, &parts, &fault) && edit.bytes < 1 << 20)
            (void)sv_edit_decode(&edit, &parts, &fault);
        sv_edit_free(&edit);
    } else {
        fuzz_one_line(fault.message);
        FUZZ_EXPECT(fault.status == 400 && fault.code);
    }
    sv_parts_free(&parts);
    fuzz_end(((size_t)16 << 20) + 64 * input_size);
    free(body);
    asked = true;
}

static enum MHD_Result answer(void *user, struct MHD_Connection *connection, const char *url,
                              const char *method, const char *version, const char *data,
                              size_t *size, void **state) {
    (void)user, (void)url, (void)method, (void)version, (void)data, (void)size, (void)state;
    read_form(connection);
    return MHD_NO; /* closes it */
}

int LLVMFuzzerInitialize(int *count, char ***arguments) {
    (void)count, (void)arguments;
    server = MHD_start_daemon(MHD_USE_NO_LISTEN_SOCKET, 0, NULL, NULL, answer, NULL,
                              MHD_OPTION_EXTERNAL_LOGGER, NULL, NULL, MHD_OPTION_END);
    FUZZ_EXPECT(server);
    return 0;
}

static void send_all(int to, const void *bytes, size_t size) {
    FUZZ_EXPECT(send(to, bytes, size, MSG_NOSIGNAL) == (ssize_t)size);
}

static void ask(const char *type, size_t length) {
    int ends[2];
    const struct sockaddr address = {.sa_family = AF_UNIX};
    static const char head[] =
        "POST /v1/images/edits HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nContent-Type: ";
    FUZZ_EXPECT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0);
    FUZZ_EXPECT(MHD_add_connection(server, ends[0], &address, sizeof address) == MHD_YES);
    send_all(ends[1], head, sizeof head - 1);
    send_all(ends[1], type, length);
    send_all(ends[1], "\r\n\r\n", 4);
    asked = false;
    for (int turn = 0; turn < 8 && !asked; ++turn) MHD_run(server);
    close(ends[1]);
    for (int turn = 0; turn < 3; ++turn) MHD_run(server);
}

/* Letters of a header's line alone: what else there is, is libmicrohttpd's own matter. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const uint8_t *end = memchr(data, '\n', size);
    const size_t length = end ? (size_t)(end - data) : 0;
    char type[200];
    if (!end || length >= sizeof type || size > MOST_BODY) return 0;
    for (size_t i = 0; i < length; ++i)
        type[i] = data[i] >= ' ' && data[i] < 0x7F ? (char)data[i] : '_';
    input = end + 1;
    input_size = size - length - 1;
    ask(type, length);
    return 0;
}
