/* What plainwire calls in libpcap. Signatures: <pcap/pcap.h>, <pcap/bpf.h>. */

typedef struct pcap pcap_t;
struct bpf_insn { uint16_t code; uint8_t jt; uint8_t jf; uint32_t k; };
struct bpf_program { unsigned int bf_len; struct bpf_insn *bf_insns; };
pcap_t *pcap_open_dead(int link_type, int snaplen);
void pcap_close(pcap_t *handle);
char *pcap_geterr(pcap_t *handle);
int pcap_compile(pcap_t *handle, struct bpf_program *program, const char *expression, int optimize,
                 uint32_t netmask);
void pcap_freecode(struct bpf_program *program);
