"use strict";
// Runs in the page's head, before Gradio's own scripts. Not a module: it has to be there first.
//
// Gradio (6.31) ends the stream that brings a page its answers when nothing is left to answer. A page that asks for more
// before it has read that end believes the stream to be open, and its answer never comes: a click is lost. So here the
// end is kept from Gradio, and the stream is opened anew when something was asked for since it was last opened.
{
  const withoutAnswers = window.fetch.bind(window);
  let asked = 0; // how many questions the server has taken
  let wake = () => {};

  window.fetch = async (...request) => {
    const [to] = request;
    const { pathname } = new URL(to instanceof Request ? to.url : to, location.href);
    if (pathname.endsWith("/queue/data")) return answers(request);
    const response = await withoutAnswers(...request);
    if (response.ok && pathname.endsWith("/queue/join")) {
      asked++;
      wake();
    }
    return response;
  };

  /** @param {Parameters<typeof fetch>} request */
  const answers = async (request) => {
    let before = asked;
    let response = await withoutAnswers(...request);
    if (!response.ok) return response;
    const { status, headers } = response;
    const body = new ReadableStream({
      async start(controller) {
        try {
          for (;;) {
            if (response.body) await pass(response.body, controller);
            if (asked === before) await new Promise((done) => (wake = () => done(null)));
            before = asked;
            response = await withoutAnswers(...request);
            if (!response.ok) throw new Error(`The server answers with status ${response.status}.`);
          }
        } catch (error) {
          controller.error(error);
        }
      },
    });
    return new Response(body, { status, headers });
  };

  /**
   * Hands on all messages of a stream but that it ends.
   *
   * @param {ReadableStream<BufferSource>} stream
   * @param {ReadableStreamDefaultController} controller
   */
  const pass = async (stream, controller) => {
    const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
    const encoder = new TextEncoder();
    for (let text = ""; ;) {
      const { done, value } = await reader.read();
      if (done) return;
      const messages = (text + value).split("\n\n");
      text = messages.pop() ?? "";
      for (const message of messages)
        if (!/^data: .{0,40}"close_stream"/.test(message)) controller.enqueue(encoder.encode(`${message}\n\n`));
    }
  };
}
