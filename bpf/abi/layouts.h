/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where a build of a library keeps what. */
#ifndef PLAINWIRE_ABI_LAYOUTS_H
#define PLAINWIRE_ABI_LAYOUTS_H

#define MAX_LAYOUT_STEPS 4

/*
 * How a value is reached from an SSL structure's address: add the first offset, and for each further one load a pointer
 * there and add it. The value stands there. steps: how many offsets there are; 0 where the place is not known.
 */
struct layout_path_t {
	__u16 steps;
	__u16 offsets[MAX_LAYOUT_STEPS];
};

/* Where one build of a library keeps what (src/plainwire/layouts/layout.py). Value of the map library_layouts. */
struct library_layout_t {
	struct layout_path_t version; /* 16 bits count of it, and of the cipher's number */
	struct layout_path_t rbio;
	struct layout_path_t wbio;
	struct layout_path_t bio_fd; /* of rbio: 32 bits, like the type */
	struct layout_path_t bio_type;
	struct layout_path_t master_key;
	struct layout_path_t master_key_length; /* 8 bits */
	struct layout_path_t client_random;
	struct layout_path_t server; /* 32 bits: 0 at a client */
	struct layout_path_t cipher_id;
	struct layout_path_t early_secret;
	struct layout_path_t handshake_secret;
	struct layout_path_t handshake_traffic_hash;
	struct layout_path_t client_app_traffic_secret;
	struct layout_path_t server_app_traffic_secret;
	struct layout_path_t exporter_master_secret;
};

/* What else the secrets of a connection need of a build. Value of the map handshake_layouts. */
struct handshake_layout_t {
	struct layout_path_t in_init; /* 32 bits: not 0 until the handshake is complete */
	struct layout_path_t server_finished_hash;
	struct layout_path_t server_finished_key;
};

#endif
