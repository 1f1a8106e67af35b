# The explorer on a CPU: `docker build -t dsp-attention .`, then `docker run -p 7860:7860 --read-only --tmpfs /tmp dsp-attention`.
FROM python:3.12-slim

# First what rarely changes. The wheels of torch for CPUs are a tenth of the size of those for GPUs.
WORKDIR /app
COPY requirements.txt .
RUN pip install --no-cache-dir --extra-index-url https://download.pytorch.org/whl/cpu \
    -r requirements.txt "prometheus-client>=0.22,<1" "uvloop>=0.21,<1" "httptools>=0.6,<1"

COPY app.py LICENSE ./
COPY dsp_attention dsp_attention
COPY dsp_viz dsp_viz
COPY pretrained pretrained
COPY examples examples
RUN python -m compileall -q . && useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin explorer

# Nothing but /tmp is written to.
USER 10001
ENV HOME=/tmp MPLCONFIGDIR=/tmp/matplotlib GRADIO_TEMP_DIR=/tmp/uploads PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
EXPOSE 7860
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:7860/healthz', timeout=4)"]
ENTRYPOINT ["python", "app.py", "--host", "0.0.0.0"]
CMD ["--public"]
