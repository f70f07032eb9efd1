/* LD_PRELOAD: what listens on every address listens on 127.0.0.1 alone. XRootD has no option for that. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

int bind(int fd, const struct sockaddr *address, socklen_t size) {
    int (*real)(int, const struct sockaddr *, socklen_t) = dlsym(RTLD_NEXT, "bind");
    struct sockaddr_storage copy;
    if (size > sizeof copy) return real(fd, address, size);
    memcpy(&copy, address, size);
    struct sockaddr_in *v4 = (struct sockaddr_in *)&copy;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&copy;
    if (address->sa_family == AF_INET && v4->sin_addr.s_addr == INADDR_ANY) v4->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (address->sa_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&v6->sin6_addr)) v6->sin6_addr = in6addr_loopback;
    return real(fd, (struct sockaddr *)&copy, size);
}
