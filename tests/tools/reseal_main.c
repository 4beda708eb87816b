/* Gives a text from standard input the last line of a manifest: what somebody does who edits one and knows how it is sealed. */
#include <stdio.h>
#include <unistd.h>

#include "archive/manifest_line.h"
#include "base/buf.h"

int main(void)
{
    struct ph_buf text = {0};
    char piece[4096], line[PH_MANIFEST_LINE + 1];
    for (ssize_t n; (n = read(STDIN_FILENO, piece, sizeof piece)) > 0;)
        ph_buf_addn(&text, piece, (size_t)n);
    ph_manifest_line(line, ph_buf_text(&text), text.len);
    printf("%s%s", ph_buf_text(&text), line);
    ph_buf_fini(&text);
    return 0;
}
