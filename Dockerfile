# The studio for who hosts it: docker build -t tintype . && docker run -p 8017:8017 tintype
# prints the address with its token.
FROM python:3.13-slim
COPY . /source
RUN pip install --no-cache-dir -c /source/constraints.txt '/source[web]' \
    && rm -r /source && useradd --create-home studio
USER studio
EXPOSE 8017
ENTRYPOINT ["tintype", "studio", "--host", "0.0.0.0", "--port", "8017", "--no-browser"]
