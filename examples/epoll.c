/* SPDX-License-Identifier: MIT */
/*
 * epoll: a stream and its sender in an event loop, beside other descriptors
 *
 *	epoll [STREAM [URL]]		(rx0, tcp://nas:9000)
 *
 * The loop waits for the stream, for what the sender needs, for a timer that prints
 * the rate, and for standard input: a line there, or its end, ends the program. In
 * a loop of one's own three things matter:
 *
 *	sgring_work()	looks after the senders: call it in each turn
 *	sgring_flush()	tells the kernel what was returned: call it before each wait,
 *			or both sides may sleep
 *	sgring_ready()	asks the ring, without a system call: wait only when it is 0
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <sgring.h>

enum { INPUT, TIMER, STREAM, SENDER };

static int add(int poller, int fd, uint32_t events, int what)
{
	struct epoll_event e = { .events = events, .data.u32 = (uint32_t)what };

	return epoll_ctl(poller, EPOLL_CTL_ADD, fd, &e);
}

/* What the sender waits for changes with time: put in what it is now. */
static void watch_sender(int poller, const struct sgring_tx *tx)
{
	static struct pollfd watched[2];
	static unsigned int count;
	struct pollfd now[2] = { 0 };
	unsigned int n = sgring_tx_pollfds(tx, now, 2);

	if (n == count && !memcmp(now, watched, sizeof(now)))
		return;
	while (count)
		epoll_ctl(poller, EPOLL_CTL_DEL, watched[--count].fd, NULL);
	memcpy(watched, now, sizeof(now));
	for (; count < n; count++)
		add(poller, now[count].fd, (uint32_t)(uint16_t)now[count].events, SENDER);
}

int main(int argc, char **argv)
{
	const struct itimerspec second = { { 1, 0 }, { 1, 0 } };
	int timer = timerfd_create(CLOCK_MONOTONIC, 0), poller = epoll_create1(0), n, err = 0;
	struct epoll_event events[8];
	uint64_t bytes = 0, ticks;
	bool done = false;
	struct sgring_slot b;
	struct sgring_tx *tx;
	struct sgring *s;
	char line[256];

	if (sgring_open(&s, argc > 1 ? argv[1] : "rx0", NULL))
		return fprintf(stderr, "%s\n", sgring_errmsg()), 1;
	if (sgring_tx_open(&tx, s, argc > 2 ? argv[2] : "tcp://nas:9000", NULL) || sgring_start(s)) {
		fprintf(stderr, "%s\n", sgring_errmsg());
		return sgring_close(s), 1;
	}
	timerfd_settime(timer, 0, &second, NULL);
	add(poller, STDIN_FILENO, EPOLLIN, INPUT);
	add(poller, timer, EPOLLIN, TIMER);
	add(poller, sgring_fd(s), EPOLLIN, STREAM);
	while (!done && !err) {
		/* All that is there, without a system call for the stream. */
		while (!err && sgring_ready(s) && !(err = sgring_next(s, &b, 0))) {
			bytes += b.length;
			err = sgring_tx_send(tx, &b);
		}
		if (!err)
			err = sgring_work(s);
		if (!err)
			err = sgring_flush(s);
		if (err)
			break;
		watch_sender(poller, tx);
		n = epoll_wait(poller, events, 8, sgring_ready(s) ? 0 : 1000);
		while (n-- > 0) {
			if (events[n].data.u32 == INPUT)
				done = read(STDIN_FILENO, line, sizeof(line)) >= 0;
			if (events[n].data.u32 == TIMER && read(timer, &ticks, sizeof(ticks)) > 0) {
				printf("%" PRIu64 " MB/s\n", bytes / ticks / 1000000);
				fflush(stdout);
				bytes = 0;
			}
			/* STREAM and SENDER: the next turn of the loop looks after them. */
			if (events[n].data.u32 == STREAM && events[n].events & EPOLLHUP)
				err = -ENODEV;
		}
	}
	if (err && err != -ENODATA)
		fprintf(stderr, "%s\n", sgring_errmsg());
	return sgring_close(s);		/* stops, sends the rest, says the end */
}
