/*
 * What plainwire knows of bash, in a program that is linked with the real libreadline, as some distributions link bash: its
 * variables, the call that reads commands, and one that reads a secret (`secret`). A command is the number that it
 * returns; one that ends with a backslash goes on in the next line.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <readline/readline.h>

char *current_readline_line, *current_prompt_string, *ps1_prompt = "READY> ", *ps2_prompt = "MORE> ";
int last_command_exit_value;

__attribute__((noinline)) static int yy_readline_get(void)
{
	current_readline_line = readline(current_prompt_string);
	return current_readline_line != NULL;
}

__attribute__((noinline)) static size_t edit_line(void)
{
	char *line = readline("Password: ");
	size_t length = line ? strlen(line) : 0;

	free(line);
	return length;
}

__attribute__((noinline)) int parse_command(void)
{
	current_prompt_string = ps1_prompt;
	while (yy_readline_get() && strchr(current_readline_line, '\\'))
		current_prompt_string = ps2_prompt;
	return current_readline_line != NULL;
}

int main(void)
{
	while (parse_command()) {
		if (!strcmp(current_readline_line, "exit"))
			return 9;
		last_command_exit_value =
			strcmp(current_readline_line, "secret") ? atoi(current_readline_line) : edit_line();
	}
	return 0;
}
